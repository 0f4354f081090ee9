"""Effects of a model under differential privacy: noisy family sums, and DP-SGD beside them.

python benchmarks/privacy_parts/closed_form.py [--quick] [--seeds 40] [--flows 6]
    [--cases simpson,backdoor,five]

Three smooth causal models (simpson: 3 nodes, softplus outcome; backdoor: 9 nodes, bilinear
outcome; five: quadratic mechanisms), 20,000 records at 5 sites, 2 of them colluding, delta 1e-5,
the graph known. Bounds stand for public ones: the quantiles 0.001 and 0.999 of the law plus a
twentieth of their distance on either side; records outside are moved to them, for all alike.
`closed form` is `family = "gram"` at the default degree 2, its scales paid for; `DP-SGD` is
`family = "nodeflow"`
(hidden 16, 6 bins, 10 rounds of 1 epoch, batches of a tenth, clip 1) from a model without slopes.
Error: the root of the mean over seeds of (ATE - truth)^2, over the outcome's standard deviation,
treatment from -1 to 1; truth from 400,000 records under the intervention. The root mean square
over many samples is the error of the method at this number of records, sampling and bias; the
mean of ten absolute errors, which stood here, moved by a third with the seeds. Each ratio has its
standard error (500 bootstraps of the seeds). Noise is OpenDP's, of the system; data
seeds 35000 and following (development used 0 to 5 and 100 to 111). Reach: closed form at epsilon 3
within 3 times, at epsilon 8 within 1.5 times its own error without noise; and a smaller error than
DP-SGD's on the seeds that both had, for every model and epsilon (`over` is the ratio).
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table
from fedcausal.graph import Graph
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.noisy_degrees import chosen_degrees
from fedcausal.model.noisy_families import NoisyFamilies, noisy_families_request
from fedcausal.model.noisy_family_gram import decode_noisy_families, fit_noisy_mechanisms
from fedcausal.model.training import local_update, training_plan
from fedcausal.statistics.kind import Request
from fedcausal.statistics.scale_kind import ModelScaleKind, scale_release, scale_request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.integer_noise import IntegerNoise, discrete_gaussian
from fedcausal_privacy.statistic_spec import Released

NUM_SITES, NUM_RECORDS, FIRST_SEED = 5, 20_000, 35_000
SEEDS, FLOWS = 40, 6
REACH = {3.0: 3.0, 8.0: 1.5}
Matrix = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator, Mapping[str, float]], Matrix]


@dataclass(frozen=True)
class Case:
    """A causal model: names in order, edges, how to draw, and the effect that is asked for."""

    names: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    draw: Draw
    treatment: str
    outcome: str


def main() -> int:
    """Print the table; 1 where a figure falls short."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="4 seeds, no DP-SGD")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the closed form")
    parser.add_argument("--flows", type=int, default=FLOWS, help="of these also with DP-SGD")
    parser.add_argument("--cases", default=",".join(CASES), help=", ".join(CASES))
    given = parser.parse_args()
    holds = table(given.quick, seeds=given.seeds, flows=given.flows, names=given.cases.split(","))
    return 0 if holds else 1


def table(
    quick: bool, *, seeds: int = SEEDS, flows: int = FLOWS, names: Sequence[str] = ()
) -> bool:
    """Errors of the average effect beside the reach of each epsilon; whether all is reached."""
    seeds, flows = (4, 0) if quick else (seeds, min(flows, seeds))
    print(f"{seeds} seeds ({flows} of DP-SGD); root mean square error of the ATE, over no DP")
    print(
        "model     no DP    eps  closed form  ratio (s.e.)  reach   same seeds: closed, DP-SGD"
        "  over   CPU s closed / DP-SGD"
    )
    everything: dict[float, list[Matrix]] = {0.0: [], **{epsilon: [] for epsilon in REACH}}
    holds = True
    for name in names or CASES:
        case = CASES[name]
        rows = [_closed(case, FIRST_SEED + i) for i in range(seeds)]
        errors = {epsilon: np.array([row[epsilon] for row in rows]) for epsilon in everything}
        for epsilon, found in errors.items():
            everything[epsilon].append(found)
        for epsilon in REACH:
            seconds = float(np.mean([row[-epsilon] for row in rows]))
            holds &= _say_row(name, epsilon, errors, seconds, flows)
    for epsilon, limit in REACH.items():
        ratio, error = _ratio(np.stack(everything[epsilon], 1), np.stack(everything[0.0], 1))
        holds &= ratio <= limit
        verdict = "holds" if ratio <= limit else "MISSED"
        print(f"all       eps {epsilon:g}: {ratio:.2f} ({error:.2f}) <= {limit:g}  {verdict}")
    return holds


def _say_row(
    name: str, epsilon: float, errors: Mapping[float, Matrix], seconds: float, flows: int
) -> bool:
    """Print one model at one epsilon; whether both its reaches hold."""
    ratio, error = _ratio(errors[epsilon], errors[0.0])
    trained, spent = _trained(CASES[name], epsilon, flows)
    same = _root(errors[epsilon][:flows]) if flows else float("nan")
    is_near, is_better = ratio <= REACH[epsilon], not flows or same < trained
    verdict = "holds" if is_near else "MISSED"
    better = "better" if is_better else "WORSE"
    print(
        f"{name:10}{_root(errors[0.0]):.4f}   {epsilon:<5g}{_root(errors[epsilon]):.4f}"
        f"{ratio:13.2f} ({error:.2f})  <= {REACH[epsilon]:<4g}{verdict:8}"
        f"{same:10.4f} {trained:9.4f} {same / trained:7.2f}  {better if flows else '-':6}"
        f"   {seconds:.2f} / {spent:.1f}",
        flush=True,
    )
    return is_near and is_better


def _root(errors: Matrix) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def _ratio(errors: Matrix, without: Matrix) -> tuple[float, float]:
    """The ratio of root mean square errors, and its standard error over the seeds (first axis)."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(errors), (500, len(errors)))
    drawn = [_root(errors[rows]) / _root(without[rows]) for rows in chosen]
    return _root(errors) / _root(without), float(np.std(drawn))


def _closed(case: Case, seed: int) -> dict[float, float]:
    """Errors by epsilon (0: without noise), and CPU seconds by minus epsilon."""
    bounds, tables, truth, spread = _data(case, seed)
    dag = Graph.dag(case.names, case.edges)
    plain = _study(case, bounds, None)
    request, kind = families_request(case.edges, case.names, {}), Families()
    total = sum(kind.compute(plain, request, t, np.random.default_rng(0)) for t in tables)
    released = apply_cell_rule(total, kind.spec(plain, request, NUM_SITES))
    grams = decode_families(plain, request, released, NUM_SITES)
    engine = assemble(dag, plain.schema(), fit_mechanisms(grams)).engine
    found = {0.0: abs(_effect(engine, case) - truth) / spread}
    for epsilon in REACH:
        begin, study = time.process_time(), _study(case, bounds, epsilon)
        mechanisms = noisy_mechanisms(case, study, tables, discrete_gaussian)
        engine = assemble(dag, study.schema(), mechanisms).engine
        found[epsilon] = abs(_effect(engine, case) - truth) / spread
        found[-epsilon] = time.process_time() - begin
    return found


def noisy_mechanisms(
    case: Case, study: Study, tables: list[Table], noise: IntegerNoise
) -> dict[str, Mechanism]:
    """Both releases of a closed form under an epsilon: scales, then families."""
    scales, families = ModelScaleKind(), NoisyFamilies()

    def released(kind: ModelScaleKind | NoisyFamilies, request: Request) -> Released:
        total = sum(
            kind.compute_private(study, request, t, num_sites=NUM_SITES, noise=noise)
            for t in tables
        )
        return apply_cell_rule(total, kind.spec(study, request, NUM_SITES))

    request = scale_request(of_model=True)
    found = scale_release(study, request, released(scales, request), NUM_SITES)
    degrees = chosen_degrees(
        study,
        case.edges,
        case.names,
        scales=found.scales,
        num_records=found.num_records,
        num_sites=NUM_SITES,
    )
    request = noisy_families_request(
        list(case.edges), case.names, degrees, scales=found.scales, missing=found.missing
    )
    total = released(families, request)
    return fit_noisy_mechanisms(decode_noisy_families(study, request, total, NUM_SITES))


def _trained(case: Case, epsilon: float, seeds: int) -> tuple[float, float]:
    """The mean error of DP-SGD, and its CPU seconds."""
    errors, begin = [np.nan], time.process_time()
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        bounds, tables, truth, spread = _data(case, seed)
        study = _study(case, bounds, epsilon, family="nodeflow")
        spec = NodeFlowSpec.from_schema(
            study.schema(), list(case.edges), names=case.names, ranges=bounds, hidden=16, bins=6
        )
        plan = training_plan(study.model, epsilon=epsilon, delta=1e-5, device="cpu")
        weights, rng = to_vector(build(spec, 0)), np.random.default_rng(0)
        for index in range(plan.rounds):
            deltas = [
                local_update(
                    spec,
                    weights,
                    t.values[:, [t.schema.index(n) for n in spec.names]],
                    plan=plan,
                    round_index=index,
                    rng=rng,
                ).delta
                for t in tables
            ]
            weights = weights + np.mean(deltas, axis=0).astype(np.float32)
        errors.append(abs(_flow_effect(spec, weights, case) - truth) / spread)
    return _root(np.array(errors[1:] or [np.nan])), (time.process_time() - begin) / max(seeds, 1)


def _effect(engine: object, case: Case) -> float:
    assert isinstance(engine, GramModel)
    noise, size = engine.draw_noise(40_000, np.random.default_rng(9)), 40_000
    means = [
        float(engine.push(noise, size, do={case.treatment: value})[case.outcome].mean())
        for value in (-1.0, 1.0)
    ]
    return means[1] - means[0]


def _flow_effect(spec: NodeFlowSpec, weights: NDArray[np.float32], case: Case) -> float:
    from fedcausal.model.nodeflow_model import NodeFlowModel

    model = NodeFlowModel(flow=from_vector(spec, weights))
    means = [
        float(
            np.mean(
                model.sample(40_000, do={case.treatment: value}, rng=np.random.default_rng(9))[
                    case.outcome
                ]
            )
        )
        for value in (-1.0, 1.0)
    ]
    return means[1] - means[0]


def _data(
    case: Case, seed: int
) -> tuple[dict[str, tuple[float, float]], list[Table], float, float]:
    law = case.draw(200_000, np.random.default_rng(10**6), {})
    low, high = np.quantile(law, [0.001, 0.999], axis=0)
    pad = 0.05 * (high - low)
    bounds = {
        n: (round(float(a), 2), round(float(b), 2))
        for n, a, b in zip(case.names, low - pad, high + pad, strict=True)
    }
    rows = case.draw(NUM_RECORDS, np.random.default_rng(seed), {})
    rows = np.clip(rows, *np.array(list(bounds.values())).T)
    schema = _study(case, bounds, None).schema()
    order = [case.names.index(name) for name in schema.names]
    tables = [
        Table(schema, np.ascontiguousarray(part[:, order]))
        for part in np.array_split(rows, NUM_SITES)
    ]
    outcome = case.names.index(case.outcome)
    do = [
        case.draw(400_000, np.random.default_rng(3), {case.treatment: v})[:, outcome].mean()
        for v in (-1.0, 1.0)
    ]
    return bounds, tables, float(do[1] - do[0]), float(law[:, outcome].std())


def _study(
    case: Case,
    bounds: Mapping[str, tuple[float, float]],
    epsilon: float | None,
    family: str = "gram",
) -> Study:
    training = {"rounds": 10, "local_epochs": 1, "sample_rate": 0.1, "batch": 400}
    return Study.model_validate(
        {
            "variables": {
                name: {"kind": "continuous", "bounds": list(bounds[name])} for name in case.names
            },
            "discovery": {"site_effects": "pool"},
            "model": {"family": family, **training},
            "privacy": {} if epsilon is None else {"model": {"epsilon": epsilon}},
        }
    )


def _softplus(x: Matrix) -> Matrix:
    return np.logaddexp(0.0, x)


def _simpson(size: int, rng: np.random.Generator, do: Mapping[str, float]) -> Matrix:
    z, e, u = rng.normal(size=(3, size))
    t = np.full(size, do["t"]) if "t" in do else 1.2 * np.tanh(z) + 0.8 * e
    return np.column_stack([t, _softplus(1.0 - t) + 0.7 * z + 0.7 * u, z])


def _backdoor(size: int, rng: np.random.Generator, do: Mapping[str, float]) -> Matrix:
    e = 0.6 * rng.normal(size=(9, size))
    x0 = e[0] / 0.6
    x1, x2 = np.tanh(x0) + e[1], _softplus(x0) - 0.7 + e[2]
    x3, x4 = 0.8 * x1 + e[3], np.sin(x2) + e[4]
    x5, x6 = _softplus(x3) - 0.7 + e[5], 0.8 * x4 + e[6]
    x7 = np.full(size, do["x7"]) if "x7" in do else np.tanh(1.2 * x5) + e[7]
    x8 = 0.9 * x7 + 0.5 * x6 + 0.2 * x7 * x6 + e[8]
    return np.column_stack([x0, x1, x2, x3, x4, x5, x6, x7, x8])


def _five(size: int, rng: np.random.Generator, do: Mapping[str, float]) -> Matrix:
    e = 0.7 * rng.normal(size=(5, size))
    a = e[0] / 0.7
    b = np.full(size, do["b"]) if "b" in do else 0.9 * a + 0.2 * (a**2 - 1.0) + e[1]
    c = 0.7 * b + 0.5 * a + 0.1 * a * b + e[2]
    d = 0.8 * c + e[3]
    return np.column_stack([a, b, c, d, 0.6 * d - 0.5 * b + 0.15 * b**2 + 0.3 * b * d + e[4]])


CASES = {
    "simpson": Case(("t", "y", "z"), (("z", "t"), ("z", "y"), ("t", "y")), _simpson, "t", "y"),
    "backdoor": Case(
        tuple(f"x{i}" for i in range(9)),
        (
            ("x0", "x1"),
            ("x0", "x2"),
            ("x1", "x3"),
            ("x2", "x4"),
            ("x3", "x5"),
            ("x4", "x6"),
            ("x5", "x7"),
            ("x6", "x8"),
            ("x7", "x8"),
        ),
        _backdoor,
        "x7",
        "x8",
    ),
    "five": Case(
        ("a", "b", "c", "d", "e"),
        (("a", "b"), ("a", "c"), ("b", "c"), ("c", "d"), ("b", "e"), ("d", "e")),
        _five,
        "b",
        "e",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
