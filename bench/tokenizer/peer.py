"""Python's side of bench:tokenizer, one thread: reads JSON requests a line, answers each with a line of JSON.

{"tokenizer": path, "pieces": [texts]} loads both; {"run": true} encodes all pieces once and gives seconds of wall clock
and of processor, the number of ids and a sum over them that depends on their order.
"""

import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402

for line in sys.stdin:
    request = json.loads(line)
    if "tokenizer" in request:
        tokenizer = tokenizers.Tokenizer.from_file(request["tokenizer"])
        tokenizer.no_truncation()
        tokenizer.no_padding()
        pieces = request["pieces"]
        answer = {"version": tokenizers.__version__}
    else:
        wall, cpu = time.perf_counter(), time.process_time()
        encoded = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in pieces]
        answer = {"wallSeconds": time.perf_counter() - wall, "cpuSeconds": time.process_time() - cpu}
        count, total = 0, 0
        for ids in encoded:
            for i in ids:
                count += 1
                total = (total * 31 + i) % 1000003
        answer.update(count=count, sum=total)
    print(json.dumps(answer), flush=True)
