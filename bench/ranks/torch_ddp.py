#!/usr/bin/env python3
"""One training step in PyTorch's DistributedDataParallel on processes of this machine (gloo), timed on request.

The peer of bench/ranks: the model, optimiser and clipping of bench/step/torch_step.py, whose commands it reads as well. This
process is rank 0 and passes the commands on to the others. `--ranks N`; all else as torch_step.py takes it, per process.
"""
import contextlib
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "step"))

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

import torch_step


def work(rank, ranks, port, o, commands):
    """`commands` yields the number of steps to do, and None at the end."""
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    model = torch_step.create_model(o).train()
    parallel = DistributedDataParallel(model, gradient_as_bucket_view=True)
    forward = torch.compile(parallel) if o.compile else parallel
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)
    torch.manual_seed(1 + rank)
    tokens = torch.randint(0, o.vocab_size, (o.batch, o.seq))
    labels = tokens.roll(-1, 1)
    labels[:, -1] = -100
    labels = labels.reshape(-1)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if o.precision == "bf16" else contextlib.nullcontext()

    def step():
        with autocast:
            loss = forward(tokens, labels, None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    for count in commands:
        times = []
        for _ in range(count):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) * 1e3)
        if rank == 0:
            print(json.dumps({"stepMs": times}), flush=True)
    dist.destroy_process_group()


def follow(rank, ranks, port, o, queue):
    work(rank, ranks, port, o, iter(queue.get, None))


def main():
    place = sys.argv.index("--ranks")
    ranks = int(sys.argv[place + 1])
    del sys.argv[place:place + 2]
    o = torch_step.arguments()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queues = [context.Queue() for _ in range(1, ranks)]
    others = [
        context.Process(target=follow, args=(rank, ranks, port, o, queue), daemon=True)
        for rank, queue in enumerate(queues, 1)
    ]
    for process in others:
        process.start()

    def commands():
        for line in sys.stdin:
            words = line.split()
            count = None if words[0] == "end" else int(words[1])
            for queue in queues:
                queue.put(count)
            if count is None:
                return
            yield count

    work(0, ranks, port, o, commands())
    for process in others:
        process.join()
    print(json.dumps({"peakBytes": 0, "version": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
