"""FedAvg and FedProx beside training on the pooled rows, at four shifted sites of unequal size.

python benchmarks/models_parts/federated.py [--quick] [--cases simpson,...] [--seeds 10,11,12]
    [--mu 0.01,...]

6000, 3000, 1000 and 400 rows; all root variables are shifted by -1, 0, +1 and +2 standard
deviations. Every road: the same start around the closed form of all sites, as in a run; 25 rounds
of one local epoch (20 Poisson samples of 5 % of a site's rows), Adam, 3e-3 at most on a one-cycle
schedule over all rounds. The sites' updates are encoded, weighed by records and summed in
integers as a run does. Error: root mean square error of
counterfactuals of 2,000 fresh records at the quartiles of every node, in standard deviations,
for records of the middle (shift 0) and of the smallest site (+2). FedProx has mu 0.01, which is
not tuned.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mechanisms import CASES, Case, Matrix
from ours import HIDDEN, RATE, Fitted, answer, closed_form, numeric_study
from task import Task, score, task_of, true_means

from fedcausal.data.table import Table
from fedcausal.graph import Graph
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.offsets import nodeflow_offsets
from fedcausal.model.training import TrainingPlan, local_update
from fedcausal.model.update import decode_update, encode_update
from fedcausal_privacy.statistic_spec import Released

SIZES, SHIFTS = (6000, 3000, 1000, 400), (-1.0, 0.0, 1.0, 2.0)
ROUNDS, SHARE = 25, 0.05
MOST_ROWS = 2**23
REACH = 1.3
NAMES = ("simpson-nonlinear", "triangle-nonlinear", "backdoor-nonlinear")
MU = 0.01


def main() -> None:
    """Print the table of the cases and seeds on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one case, one seed, 5 rounds")
    parser.add_argument("--cases", type=_words, default=NAMES, help="beginnings of names")
    parser.add_argument("--seeds", type=_words, default=("10", "11", "12"))
    parser.add_argument("--mu", type=_words, default=(str(MU),), help="of FedProx")
    options = parser.parse_args()
    if options.quick:
        table(quick=True)
        return
    cases = [case for name, case in CASES.items() if name.startswith(options.cases)]
    seeds = [int(seed) for seed in options.seeds]
    _table(cases, seeds, ROUNDS, [float(mu) for mu in options.mu])


def table(quick: bool) -> bool:
    """Three cases and seeds; one of each and few rounds when quick."""
    if quick:
        return _table([CASES[NAMES[0]]], [10], 5, [MU])
    return _table([CASES[name] for name in NAMES], [10, 11, 12], ROUNDS, [MU])


def _table(cases: Sequence[Case], seeds: Sequence[int], rounds: int, mus: Sequence[float]) -> bool:
    _say(
        f"federated: sites of {', '.join(map(str, SIZES))} rows, roots shifted by "
        f"{', '.join(f'{s:+g}' for s in SHIFTS)}; {rounds} rounds, seeds "
        f"{', '.join(map(str, seeds))}; reach: FedAvg <= {REACH} x pooled"
    )
    roads = ("pooled", "FedAvg", *(f"FedProx {mu:g}" for mu in mus))
    _say(
        f"{'case':<22}{'at':>4}" + "".join(f"{r:>14}" for r in (*roads, "start", "FedAvg/pooled"))
    )
    ratios: list[float] = []
    spent = dict.fromkeys(roads, 0.0)
    for case in cases:
        found: dict[tuple[str, float], list[float]] = {}
        for seed in seeds:
            for (road, shift), (error, cpu) in _errors(case, seed, rounds, mus).items():
                found.setdefault((road, shift), []).append(error)
                if road in spent and not shift:
                    spent[road] += cpu
        for shift in (0.0, SHIFTS[-1]):
            means = {r: float(np.mean(found[r, shift])) for r in (*roads, "start")}
            ratios.append(means["FedAvg"] / means["pooled"])
            cells = "".join(f"{m:>14.4f}" for m in means.values())
            _say(f"{case.name:<22}{shift:>+4g}{cells}{ratios[-1]:>14.2f}")
    _say(f"{'CPU s':<26}" + "".join(f"{s:>14.1f}" for s in spent.values()))
    mean = float(np.exp(np.mean(np.log(ratios))))
    holds = mean <= REACH
    _say(
        f"FedAvg / pooled: geometric mean {mean:.2f}, worst {max(ratios):.2f}  "
        f"{'yes' if holds else 'NO'} (mean <= {REACH})"
    )
    return holds


def _errors(
    case: Case, seed: int, rounds: int, mus: Sequence[float]
) -> dict[tuple[str, float], tuple[float, float]]:
    """Per road and shift of the records asked about: the error, and the CPU s of training."""
    rng = np.random.default_rng(seed)
    sites = [_draw(case, n, shift, rng) for n, shift in zip(SIZES, SHIFTS, strict=True)]
    pooled = np.concatenate(sites)
    task = replace(task_of(case, rows=1000, draws=100, epochs=0, seed=seed), rows=pooled)
    study = numeric_study(pooled)
    edges = [(case.names[a], case.names[b]) for a, b in case.edges]
    tables = [Table(study.schema(), part) for part in sites]
    start = closed_form(study, edges, tables, len(pooled))
    offsets = nodeflow_offsets(start.mechanisms)
    spec = NodeFlowSpec.from_schema(study.schema(), edges, hidden=HIDDEN, offsets=offsets)
    weights = to_vector(build(spec, seed, start=nodeflow_starts(start.grams, offsets)))
    roads = {"pooled": ([pooled], 0.0), "FedAvg": (sites, 0.0)}
    roads |= {f"FedProx {mu:g}": (sites, mu) for mu in mus}
    fitted = {"start": (weights, 0.0)}
    for name, (parts, mu) in roads.items():
        began = time.process_time()
        trained = _train(spec, weights, parts, rounds, mu, seed)
        fitted[name] = (trained, time.process_time() - began)
    graph = Graph.dag(list(study.schema().names), edges)
    found = {}
    for name, (vector, cpu) in fitted.items():
        model = from_nodeflow(from_vector(spec, vector), graph, study.schema())
        for shift in (0.0, SHIFTS[-1]):
            error = _error(
                case, _at(case, task, shift), Fitted(model, start.grams, start.mechanisms, cpu)
            )
            found[name, shift] = (error, cpu)
    return found


def _train(
    spec: NodeFlowSpec,
    weights: np.ndarray,
    parts: Sequence[Matrix],
    rounds: int,
    mu: float,
    seed: int,
) -> np.ndarray:
    plan = TrainingPlan(
        rounds=rounds,
        steps=round(1 / SHARE),
        sample_rate=SHARE,
        expected_batch_size=512.0,
        learning_rate=RATE,
        clip=1.0,
        update_clip=1.0,
        device="cpu",
        proximal_mu=mu,
    )
    for k in range(rounds):
        total = np.zeros(len(weights) + 1, dtype=np.int64)
        for i, rows in enumerate(parts):
            rng = np.random.default_rng([seed, k, i])
            update = local_update(spec, weights, rows, plan=plan, round_index=k, rng=rng)
            total += encode_update(
                update.delta,
                update_clip=plan.update_clip,
                num_sites=len(parts),
                weight=len(rows) / MOST_ROWS,
            )
        released = Released(totals=total, withheld=np.zeros(len(total), dtype=bool))
        mean = decode_update(released, update_clip=1.0, num_sites=len(parts), by_records=True)
        weights = weights + mean
    return weights


def _draw(case: Case, size: int, shift: float, rng: np.random.Generator) -> Matrix:
    return case.push(rng.standard_normal((size, case.size)) + shift * _roots(case))


def _roots(case: Case) -> Matrix:
    return np.array([0.0 if node.parents else 1.0 for node in case.nodes])


def _at(case: Case, task: Task, shift: float) -> Task:
    """The same questions about records of a shifted site."""
    noise = task.noise + shift * _roots(case)
    return replace(task, noise=noise, test=case.push(noise))


def _error(case: Case, task: Task, fitted: Fitted) -> float:
    truth = true_means(case, task, 10)
    return score(case, task, truth, answer(fitted, task)).counterfactual


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
