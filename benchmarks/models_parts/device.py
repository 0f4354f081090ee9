"""Training steps per second and memory on a GPU: NodeFlow there, on one CPU core, and causalflows.

python benchmarks/models.py --device cuda [--quick]    (or: device.py [--device cpu] [--quick])

d = 10, 50 and 200 (random graphs, see `latency`), rows of standard normal numbers, batches of 512
and 8,192, fp32 everywhere but for the row "mixed", whose linear layers take their products in
bfloat16 as training on a GPU does. A step is draw, forward, backward, Adam; 20 of 120 are warm-up.
Memory: the most that torch allocated. Without a GPU the tables have the CPU's rows only and say
so. NodeFlow has 48 hidden units, causalflows-nsf [64, 64].
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from latency import random_case
from ours import HIDDEN, RATE, numeric_study
from peers import peers_python

from fedcausal.model.nodeflow import build
from fedcausal.model.nodeflow_spec import NodeFlowSpec

SIZES, BATCHES = (10, 50, 200), (512, 8192)
STEPS, WARM_UP = 100, 20
ROWS, SEED = 20_000, 50


def main() -> None:
    """Print the table for the device of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="d = 10, 12 steps")
    options = parser.parse_args()
    steps(options.device, quick=options.quick)


def table(quick: bool) -> bool:
    """The table on a GPU; that of the CPU alone, with a word on it, where there is none."""
    return steps("cuda", quick=quick)


def steps(device: str, *, quick: bool) -> bool:
    """Print the steps of every model that can run here; False where the device is not there."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda":
        _say(f"device: {torch.cuda.get_device_name()}" if has_gpu else _NO_GPU)
    devices = ("cpu", "cuda") if device == "cuda" and has_gpu else ("cpu",)
    sizes, batches = (SIZES[:1], BATCHES[:1]) if quick else (SIZES, BATCHES)
    count = 10 if quick else STEPS
    _say(
        f"{'d':>4}{'batch':>7}  {'model':<24}{'device':<7}{'steps/s':>9}{'rows/s':>12}{'MB':>8}"
        f"{'x CPU':>8}{'x peer':>8}"
    )
    for size in sizes:
        for batch in batches:
            _rows(size, batch, devices, count, quick)
    return device == "cpu" or has_gpu


def _rows(size: int, batch: int, devices: tuple[str, ...], count: int, quick: bool) -> None:
    peers = {device: _peer(size, batch, device, count) for device in devices}
    cpu = _nodeflow(size, batch, "cpu", count, mixed=False)
    for device in devices:
        peer = peers[device]
        found = {"causalflows-nsf": peer}
        found["nodeflow"] = (
            cpu if device == "cpu" else _nodeflow(size, batch, device, count, mixed=False)
        )
        if device == "cuda":
            found["nodeflow, mixed"] = _nodeflow(size, batch, device, count, mixed=True)
        for name, (rate, memory) in found.items():
            _say(
                f"{size:>4}{batch:>7}  {name:<24}{device:<7}{rate:>9.1f}{rate * batch:>12.0f}"
                f"{memory:>8.0f}{rate / cpu[0]:>8.2f}{rate / peer[0]:>8.2f}"
            )


def _nodeflow(
    size: int, batch: int, device: str, count: int, *, mixed: bool
) -> tuple[float, float]:
    """Steps per second, and megabytes at most (0 on the CPU)."""
    case = random_case(size, np.random.default_rng(SEED))
    rows = np.random.default_rng(SEED).standard_normal((ROWS, size))
    edges = [(case.names[a], case.names[b]) for a, b in case.edges]
    spec = NodeFlowSpec.from_schema(numeric_study(rows).schema(), edges, hidden=HIDDEN)
    torch.set_num_threads(1)
    flow = build(spec, 0).to(device)
    flow.set_mixed_precision(mixed)
    data = torch.from_numpy(spec.scale(rows).astype(np.float32)).to(device)
    optimizer = torch.optim.Adam(flow.parameters(), lr=RATE)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        part = data[torch.randint(len(data), (batch,), device=device)]
        optimizer.zero_grad()
        torch.autograd.backward(flow(part).mean())
        optimizer.step()

    for _ in range(max(1, WARM_UP * count // STEPS)):
        step()
    started = _now(device)
    for _ in range(count):
        step()
    rate = count / (_now(device) - started)
    return rate, torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0


def _peer(size: int, batch: int, device: str, count: int) -> tuple[float, float]:
    """The same of causalflows in its own environment; nan where it fails."""
    case = random_case(size, np.random.default_rng(SEED))
    task = {"size": size, "edges": case.edges, "batch": batch, "device": device, "steps": count}
    script = Path(__file__).parent / "peer_steps.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [str(peers_python()), str(script), json.dumps(task)],
        capture_output=True,
        env=environment,
        text=True,
        check=False,
    )
    if found.returncode:
        _say(f"causalflows, d = {size}, {device}: {found.stderr.strip()[-200:]}")
        return float("nan"), float("nan")
    rate, memory = json.loads(found.stdout.splitlines()[-1])
    return float(rate), float(memory)


def _now(device: str) -> float:
    """Wall time; on a GPU after all that was asked of it, on the CPU the process's own."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


_NO_GPU = (
    "device: no CUDA GPU is here, so that NOTHING below was measured on one; these are the rows "
    "of one CPU core (CPU seconds)"
)

if __name__ == "__main__":
    main()
