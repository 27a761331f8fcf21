#!/usr/bin/env python3
"""Trains the model of bench/distributed with PyTorch's DistributedDataParallel on gloo: torch_train.py TASK.

One process of several, started by mpirun. TASK is JSON: sizes, the learning rate of each step, and the file of rows that
rows.ts has written, so that both sides train on the same ones. The first rank prints its steps and the held-out loss as
lines of JSON, as `apollo-lm train --json` does.
"""
import json
import os
import sys
import time
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "step"))

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import torch_step


def main():
    task = SimpleNamespace(**json.loads(sys.argv[1]), model="gpt", hugging_face=False, full_head=False)
    rank, ranks = int(os.environ["OMPI_COMM_WORLD_RANK"]), int(os.environ["OMPI_COMM_WORLD_SIZE"])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://{task.master}", rank=rank, world_size=ranks)
    size = task.batch * task.seq
    rows = torch.from_file(task.file, size=(task.steps * ranks + task.heldOut) * 2 * size, dtype=torch.int32)
    rows = rows.view(-1, 2, size).long()
    torch.manual_seed(0)
    model = torch_step.create_model(task).train()
    parallel = DistributedDataParallel(model, gradient_as_bucket_view=True)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": task.weightDecay},
            {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
        ],
        lr=1.0,
        fused=True,
    )
    torch.manual_seed(1 + rank)
    for step in range(task.steps):
        tokens, labels = rows[step * ranks + rank]
        start = time.perf_counter()
        loss = parallel(tokens.view(task.batch, task.seq), labels, None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, task.maxNorm)
        for group in optimizer.param_groups:
            group["lr"] = task.rates[step]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        ms = (time.perf_counter() - start) * 1e3
        if rank == 0:
            print(json.dumps({"type": "step", "step": step + 1, "loss": value, "ms": ms}), flush=True)
    task.dropout = 0.0
    for layer in model.layers:
        layer.dropout = layer.attention.dropout = 0.0
    total, count = 0.0, 0
    with torch.no_grad():
        for tokens, labels in rows[task.steps * ranks :]:
            own = int((labels != -100).sum())
            total += model(tokens.view(task.batch, task.seq), labels, None).item() * own
            count += own
    if rank == 0:
        parameters = sum(p.numel() for p in parameters)
        print(json.dumps({"type": "evaluation", "step": task.steps, "lossFull": total / count}), flush=True)
        done = {"tokens": task.steps * ranks * size, "parameters": parameters, "version": torch.__version__}
        print(json.dumps({"type": "done", **done}), flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
