"""Run in the peers' own environment: python peer_steps.py JSON; training steps of causalflows.

Imports nothing of fedcausal. Prints [steps per second, megabytes] as its last line.
"""

import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

RATE, ROWS = 3e-3, 20_000


def main() -> None:
    """Measure and print."""
    from causalflows.flows import CausalNSF

    task = json.loads(sys.argv[1])
    size, batch, device, count = (task[key] for key in ("size", "batch", "device", "steps"))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    reads = torch.eye(size).bool()
    for parent, child in task["edges"]:
        reads[child, parent] = True
    flow = CausalNSF(size, adjacency=reads, hidden_features=[64, 64]).to(device)
    rows = torch.randn(ROWS, size, device=device)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=RATE)

    def step() -> None:
        part = rows[torch.randint(len(rows), (batch,), device=device)]
        loss = -flow().log_prob(part).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def now() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    for _ in range(max(1, count // 5)):
        step()
    started = now()
    for _ in range(count):
        step()
    rate = count / (now() - started)
    memory = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0
    sys.stdout.write(json.dumps([rate, memory]) + "\n")


if __name__ == "__main__":
    main()
