"""Run in the peers' own environment: python peer_models.py PEER TASK.npz ANSWERS.npz.

Imports nothing of fedcausal. `causalflows-maf` and `causalflows-nsf` have hidden layers [64, 64]
and see standardised rows; AdamW, 3e-3 at most on a one-cycle schedule, batches of 512, all rows.
`dowhy` assigns its mechanisms itself at quality GOOD.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

Fitted: TypeAlias = tuple[Callable[[int, float], Any], Callable[[int, float], Any], float]
"""Means under a do, counterfactuals under a do, CPU seconds of the fit without imports."""

BATCH, RATE, CHUNK = 512, 3e-3, 20_000


def main() -> None:
    """Fit, answer, write."""
    peer, source, target = sys.argv[1:]
    with np.load(source) as archive:
        task = {name: archive[name] for name in archive.files}
    if peer == "dowhy":
        do_mean, imagine, cpu = _dowhy(task)
    else:
        do_mean, imagine, cpu = _flow(task, peer.removeprefix("causalflows-"))
    actions = [(int(node), float(value)) for node, value in task["actions"]]
    np.savez(
        target,
        means=np.array([do_mean(*action) for action in actions]),
        worlds=np.array([imagine(*action) for action in actions]),
        cpu=np.array(cpu),
    )


def _flow(task: dict[str, Any], kind: str) -> Fitted:
    import torch
    from causalflows.flows import CausalMAF, CausalNSF

    torch.set_num_threads(1)
    draws, epochs, seed = (int(n) for n in task["numbers"])
    torch.manual_seed(seed)
    started = time.process_time()
    middle, spread = task["rows"].mean(axis=0), task["rows"].std(axis=0)
    rows = torch.tensor((task["rows"] - middle) / spread, dtype=torch.float32)
    size = rows.shape[1]
    reads = torch.tensor(task["adjacency"].T).bool() | torch.eye(size).bool()
    flow = {"maf": CausalMAF, "nsf": CausalNSF}[kind](
        size, adjacency=reads, hidden_features=[64, 64]
    )
    _train(flow, rows, epochs)
    cpu, model = time.process_time() - started, flow()

    def standard(node: int, value: float) -> float:
        return float((value - middle[node]) / spread[node])

    def do_mean(node: int, value: float) -> Any:
        at, total, done = standard(node, value), np.zeros(size), 0
        while done < draws:
            part = min(CHUNK, draws - done)
            with torch.no_grad():
                drawn = model.sample_interventional(node, at, (part,))
            total, done = total + drawn.double().sum(0).numpy(), done + part
        return total / draws * spread + middle

    def imagine(node: int, value: float) -> Any:
        facts = torch.tensor((task["test"] - middle) / spread, dtype=torch.float32)
        with torch.no_grad():
            return (
                model.compute_counterfactual(facts, node, standard(node, value)).numpy() * spread
                + middle
            )

    return do_mean, imagine, cpu


def _train(flow: Any, rows: Any, epochs: int) -> None:
    import torch

    steps = -(-len(rows) // BATCH)
    optimizer = torch.optim.AdamW(flow.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps * epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(BATCH):
            loss = -flow().log_prob(rows[batch]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _dowhy(task: dict[str, Any]) -> Fitted:
    import networkx as nx
    import pandas as pd
    from dowhy import gcm

    gcm.config.disable_progress_bars()
    draws, _, seed = (int(n) for n in task["numbers"])
    gcm.util.general.set_random_seed(seed)
    size, started = task["rows"].shape[1], time.process_time()
    graph = nx.DiGraph()
    graph.add_nodes_from(range(size))
    graph.add_edges_from(zip(*np.nonzero(task["adjacency"]), strict=True))
    model, rows = gcm.InvertibleStructuralCausalModel(graph), pd.DataFrame(task["rows"])
    gcm.config.set_default_n_jobs(1)
    quality = gcm.auto.AssignmentQuality.GOOD
    gcm.auto.assign_causal_mechanisms(model, rows, quality=quality)
    gcm.fit(model, rows)
    cpu = time.process_time() - started
    facts = pd.DataFrame(task["test"])

    def do_mean(node: int, value: float) -> Any:
        action = {node: lambda _: value}
        drawn = gcm.interventional_samples(model, action, num_samples_to_draw=draws)
        return drawn[list(range(size))].to_numpy().mean(axis=0)

    def imagine(node: int, value: float) -> Any:
        action = {node: lambda _: value}
        found = gcm.counterfactual_samples(model, action, observed_data=facts)
        return found[list(range(size))].to_numpy()

    return do_mean, imagine, cpu


if __name__ == "__main__":
    main()
