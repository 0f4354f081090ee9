"""How often the 95 % interval of an average effect holds the truth, the graph being known.

Every study has three shifted sites, is summed exactly as a run would sum it (families, residual
histograms, the rule for small cells) and fitted in closed form; its interval draws the
coefficients from their sampling distribution. The peer sees all rows at one place and regresses
the outcome on the treatment and the adjustment set (with the products that are in the truth), site
by site centred: the textbook interval. Reach (issue): 93 to 97 % over 1,000 seeded small studies.

Splines start at 2,000 records: one case has so many. The last line has ensembles of flows, trained
through averaged updates, whose intervals are the spread between members.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ours import HIDDEN, Fitted, closed_form
from scipy.special import expit

from fedcausal.data.table import Table
from fedcausal.effects.effect import effect
from fedcausal.model.members import member_vectors, stacked, stacked_starts
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_model import from_members, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.training import local_update, training_plan
from fedcausal.study import Study

STUDIES = 1000
FIRST_SEED = 50_000
DRAWS, SAMPLES = 200, 500
REACH = (0.93, 0.97)
Z_95 = 1.959963984540054
SITES = 3
NUMBER = {"kind": "continuous", "bounds": [-60.0, 60.0]}
BINARY = {"kind": "binary"}
MEMBERS, ENSEMBLE_STUDIES, FLOW_SAMPLES = 5, 60, 1000

Rows = dict[str, np.ndarray]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A population whose effect is known: its variables, its graph, and how rows arise.

    `regressors` builds the columns that the peer regresses on, from the rows of one site; the
    effect is the weighted sum of their slopes by `weights`.
    """

    name: str
    variables: dict
    edges: tuple
    asked: tuple
    truth: float
    rows_per_site: int
    degree: int
    draw: Callable[[np.random.Generator, int, float], Rows]
    regressors: Callable[[Rows], list]
    weights: tuple
    studies: int = STUDIES


def linear(rng: np.random.Generator, n: int, shift: float) -> Rows:
    """Normal noise, one path through a mediator."""
    a = rng.normal(size=n) + shift
    x = 0.7 * a + rng.normal(size=n)
    b = 0.8 * x + rng.normal(size=n) - shift
    return {"a": a, "b": b, "x": x, "y": 1.5 * b + 0.5 * x - a + rng.normal(size=n)}


def skewed(rng: np.random.Generator, n: int, shift: float) -> Rows:
    """The same with exponential noise."""
    a = rng.exponential(size=n) + shift
    x = 0.7 * a + rng.exponential(size=n)
    b = 0.8 * x + rng.exponential(size=n) - shift
    return {"a": a, "b": b, "x": x, "y": 1.5 * b + 0.5 * x - a + 2 * rng.exponential(size=n)}


def treated(rng: np.random.Generator, n: int, shift: float) -> Rows:
    """A confounder that acts along a curve."""
    a = rng.normal(size=n) + 0.3 * shift
    t = (rng.random(n) < np.clip(0.5 + 0.15 * a, 0.05, 0.95)) * 1.0
    return {"a": a, "t": t, "y": 2.0 * t + a + 0.25 * a**2 + rng.normal(size=n)}


def waved(rng: np.random.Generator, n: int, shift: float) -> Rows:
    """A confounder that acts along a wave, which a polynomial does not follow."""
    a = rng.normal(size=n) + 0.3 * shift
    t = (rng.random(n) < expit(np.sin(2.0 * a))) * 1.0
    return {"a": a, "t": t, "y": 2.0 * t + 2.0 * np.sin(2.0 * a) + rng.normal(size=n)}


def risk(rng: np.random.Generator, n: int, shift: float) -> Rows:
    """A binary outcome, its probability linear."""
    a = rng.uniform(-1, 1, size=n)
    t = (rng.random(n) < 0.5 + 0.2 * a + 0.05 * shift) * 1.0
    return {"a": a, "t": t, "s": (rng.random(n) < 0.35 + 0.2 * t + 0.15 * a) * 1.0}


CHAIN = (("a", "x"), ("a", "y"), ("x", "b"), ("b", "y"), ("x", "y"))
TRIANGLE = (("a", "t"), ("a", "y"), ("t", "y"))
CASES = (
    Case(
        name="linear, mediator",
        variables=dict.fromkeys("abxy", NUMBER),
        edges=CHAIN,
        asked=("x", "y", (0.0, 1.0)),
        truth=1.7,
        rows_per_site=60,
        degree=1,
        draw=linear,
        regressors=lambda r: [r["x"], r["a"]],
        weights=(1.0, 0.0),
    ),
    Case(
        name="the same, skewed noise",
        variables=dict.fromkeys("abxy", NUMBER),
        edges=CHAIN,
        asked=("x", "y", (0.0, 1.0)),
        truth=1.7,
        rows_per_site=60,
        degree=1,
        draw=skewed,
        regressors=lambda r: [r["x"], r["a"]],
        weights=(1.0, 0.0),
    ),
    Case(
        name="binary treatment, curved",
        variables={"a": {"kind": "continuous", "bounds": [-6.0, 6.0]}, "t": BINARY, "y": NUMBER},
        edges=TRIANGLE,
        asked=("t", "y", ("0", "1")),
        truth=2.0,
        rows_per_site=100,
        degree=2,
        draw=treated,
        regressors=lambda r: [r["t"], r["a"], r["a"] ** 2],
        weights=(1.0, 0.0, 0.0),
    ),
    Case(
        name="risk difference",
        variables={"a": {"kind": "continuous", "bounds": [-1.0, 1.0]}, "t": BINARY, "s": BINARY},
        edges=(("a", "t"), ("a", "s"), ("t", "s")),
        asked=("t", "s", ("0", "1")),
        truth=0.2,
        rows_per_site=150,
        degree=1,
        draw=risk,
        regressors=lambda r: [r["t"], r["a"]],
        weights=(1.0, 0.0),
    ),
    Case(
        name="splines: a wave",
        variables={"a": {"kind": "continuous", "bounds": [-6.0, 6.0]}, "t": BINARY, "y": NUMBER},
        edges=TRIANGLE,
        asked=("t", "y", ("0", "1")),
        truth=2.0,
        rows_per_site=1000,
        degree=2,
        draw=waved,
        regressors=lambda r: [r["t"], np.sin(2.0 * r["a"])],
        weights=(1.0, 0.0),
        studies=200,
    ),
)
ENSEMBLE = CASES[0]
"""What the ensembles of flows are asked about."""

Ask = Callable[[Case, list[Rows], int], Interval]


def table(quick: bool) -> bool:
    """Print a line per case; False when one misses the reach."""
    share = 10 if quick else 1
    say(f"seeds from {FIRST_SEED} on; fewer than {STUDIES} studies may miss by 3 standard errors")
    say(
        f"{'case':28s} {'rows':>5s} {'studies':>8s} {'coverage':>9s} {'reach':>10s} {'peer':>7s} ",
        end="",
    )
    say(f"{'width':>7s} {'peer':>7s} {'ratio':>6s} {'CPU s':>6s}  holds")
    holds = [row(case.name, case, case.studies // share, closed_interval) for case in CASES]
    name = f"{MEMBERS} flows, {ENSEMBLE.name}"
    holds.append(row(name, ENSEMBLE, ENSEMBLE_STUDIES // share, flow_interval))
    return all(holds)


def row(name: str, case: Case, studies: int, interval: Ask) -> bool:
    """One line; whether coverage lies in the reach, or as near as so few studies can tell."""
    started = time.process_time()
    found = np.array([one_study(case, FIRST_SEED + k, interval) for k in range(studies)])
    seconds = time.process_time() - started
    ours, peer = found[:, :2], found[:, 2:]
    covered, peers = coverage(ours, case.truth), coverage(peer, case.truth)
    width, theirs = (float(np.mean(ends[:, 1] - ends[:, 0])) for ends in (ours, peer))
    slack = 0.0 if studies >= STUDIES else 3 * np.sqrt(0.05 * 0.95 / studies)
    holds = REACH[0] - slack <= covered <= REACH[1] + slack
    say(
        f"{name:28s} {SITES * case.rows_per_site:5d} {studies:8d} {covered:9.1%} {'93-97 %':>10s} "
        f"{peers:7.1%} {width:7.3f} {theirs:7.3f} {width / theirs:6.2f} {seconds:6.0f}  "
        f"{'yes' if holds else 'NO'}"
    )
    return bool(holds)


def coverage(ends: np.ndarray, truth: float) -> float:
    """The share of intervals (studies, 2) that hold the truth."""
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


def one_study(case: Case, seed: int, interval: Ask) -> tuple[float, float, float, float]:
    """Our interval and the peer's."""
    rng = np.random.default_rng([seed, CASES.index(case)])
    sites = [case.draw(rng, case.rows_per_site, shift) for shift in (-1.0, 0.0, 1.0)]
    return (*interval(case, sites, seed), *pooled_interval(case, sites))


def closed_interval(case: Case, sites: list[Rows], seed: int) -> Interval:
    """Of the closed form: coefficients drawn from their sampling distribution."""
    model = federated(case, sites).model
    return effect(model, *case.asked, draws=DRAWS, samples=SAMPLES, seed=seed).interval


def flow_interval(case: Case, sites: list[Rows], seed: int) -> Interval:
    """Of an ensemble of flows: each trained on its own bootstrap of every site's rows."""
    model = flows_of(case, sites, federated(case, sites), seed)
    return effect(model, *case.asked, draws=2, samples=FLOW_SAMPLES, seed=seed).interval


def flows_of(case: Case, sites: list[Rows], start: Fitted, seed: int) -> StructuralCausalModel:
    """Members trained through averaged updates of the sites, as in a run."""
    study = study_of(case)
    spec = NodeFlowSpec.from_schema(study.schema(), case.edges, hidden=HIDDEN)
    starts = stacked_starts(nodeflow_starts(start.grams), MEMBERS)
    weights = to_vector(build(stacked(spec, MEMBERS), seed, start=starts))
    options = study.model.model_copy(update={"members": MEMBERS, "device": "cpu"})
    plan = training_plan(options, epsilon=None, delta=study.privacy.delta)
    tables = tables_of(study, sites)
    for k in range(plan.rounds):
        updates = [
            local_update(
                spec,
                weights,
                table.values,
                plan=plan,
                round_index=k,
                rng=np.random.default_rng([seed, k, i]),
                bootstrap=np.random.default_rng([seed, i]),
            )
            for i, table in enumerate(tables)
        ]
        weights = weights + np.mean([update.delta for update in updates], axis=0)
    flows = [from_vector(spec, v) for v in member_vectors(spec, weights, MEMBERS)]
    return from_members(flows, start.model.graph, study.schema())


def federated(case: Case, sites: list[Rows]) -> Fitted:
    """The model of a run, without the cryptography, which changes no number."""
    study = study_of(case)
    tables = tables_of(study, sites)
    return closed_form(study, case.edges, tables, sum(len(table.values) for table in tables))


def study_of(case: Case) -> Study:
    """The case as a study: sites centred, polynomials of its degree where there are no splines."""
    return Study.model_validate(
        {
            "variables": case.variables,
            "model": {"degree": case.degree},
            "discovery": {"site_effects": "center"},
        }
    )


def tables_of(study: Study, sites: list[Rows]) -> list[Table]:
    """The sites' rows in the study's order."""
    names = study.schema().names
    return [Table(study.schema(), np.column_stack([r[n] for n in names])) for r in sites]


def pooled_interval(case: Case, sites: list[Rows]) -> tuple[float, float]:
    """Least squares on all rows, each site centred."""
    outcome = case.asked[1]
    columns = np.concatenate([centred(np.column_stack(case.regressors(r))) for r in sites])
    y = np.concatenate([centred(r[outcome][:, None]) for r in sites])[:, 0]
    inverse = np.linalg.inv(columns.T @ columns)
    slopes = inverse @ columns.T @ y
    freedom = len(y) - columns.shape[1] - SITES
    variance = np.sum((y - columns @ slopes) ** 2) / freedom
    weights = np.array(case.weights)
    estimate, error = weights @ slopes, np.sqrt(variance * weights @ inverse @ weights)
    return float(estimate - Z_95 * error), float(estimate + Z_95 * error)


def centred(columns: np.ndarray) -> np.ndarray:
    """Columns without their means."""
    return columns - columns.mean(axis=0)


def say(line: str, end: str = "\n") -> None:
    """Print at once, for a pipe too."""
    sys.stdout.write(line + end)
    sys.stdout.flush()
