from dataclasses import dataclass

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.graph import Graph
from fedcausal.model.calibration import rows_for
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.residuals import (
    Residuals,
    decode_residuals,
    residuals_request,
    with_residual_laws,
)
from fedcausal.model.training import training_plan
from fedcausal.protocol import start, step
from fedcausal.results.privacy_statement import privacy_statements
from fedcausal.results.run import load_run
from fedcausal.results.run_folder import write_run_folder
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.kind import PrivateKind
from fedcausal.statistics.records import kept_records, takes_all, with_counts
from fedcausal.steps.state import STEPS
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

MIXED_VARIABLES = {
    "age": {"kind": "continuous", "bounds": [-6.0, 6.0], "unit": "years"},
    "drug": {"kind": "binary"},
    "group": {"kind": "categorical", "categories": ["a", "b", "c"]},
    "pressure": {"kind": "continuous", "bounds": [-40.0, 40.0], "unit": "mmHg"},
    "stage": {"kind": "ordinal", "categories": ["low", "mid", "high"]},
    "status": {"kind": "binary", "categories": ["alive", "dead"]},
}
MIXED_EDGES = [
    ("age", "drug"),
    ("group", "drug"),
    ("age", "pressure"),
    ("drug", "pressure"),
    ("group", "pressure"),
    ("pressure", "stage"),
    ("pressure", "status"),
    ("drug", "status"),
]


def mixed_rows(num_rows, rng, shift=0.0):
    age = np.clip(rng.normal(size=num_rows) + shift, -6, 6)
    group = rng.integers(0, 3, num_rows).astype(float)
    drug = (rng.random(num_rows) < np.clip(0.4 + 0.1 * age + 0.1 * (group == 1), 0.02, 0.98)) * 1.0
    mean = 2 * age + 3 * drug + 1.5 * (group == 2) + 0.25 * age**2
    pressure = np.clip(mean + rng.normal(size=num_rows) + shift, -40, 40)
    stage = np.clip(np.rint(1 + 0.15 * pressure + 0.5 * rng.normal(size=num_rows)), 0, 2)
    risk = np.clip(0.3 + 0.02 * pressure - 0.1 * drug, 0.01, 0.99)
    status = (rng.random(num_rows) < risk) * 1.0
    return {
        "age": age,
        "drug": drug,
        "group": group,
        "pressure": pressure,
        "stage": stage,
        "status": status,
    }


@dataclass(frozen=True)
class Fit:
    """A study carried through families and residuals without cryptography."""

    study: Study
    sites: list
    grams: dict
    mechanisms: dict
    model: object


def table_of(study, columns):
    schema = study.schema()
    return Table(schema, np.column_stack([columns[name] for name in schema.names]))


def released_sum(kind, study, request, sites):
    """What the secure sum and the cell rule would release."""
    spec = kind.spec(study, request, len(sites))
    spec.check_range(len(sites))
    rng = np.random.default_rng(0)
    vectors = [kind.compute(study, request, site, rng) for site in sites]
    assert all(v.shape == (spec.length,) and np.abs(v).max() <= spec.bound for v in vectors)
    return apply_cell_rule(sum(vectors), spec)


def fit_sites(study, edges, sites, ranges=None, knots=None):
    """Two rounds: families, then residuals."""
    schema = study.schema()
    request = families_request(edges, schema.names, ranges or {}, knots)
    released = released_sum(Families(), study, request, sites)
    grams = decode_families(study, request, released, len(sites))
    mechanisms = fit_mechanisms(grams)
    second = residuals_request(request, mechanisms)
    if second is not None:
        answer = released_sum(Residuals(), study, second, sites)
        counts = {node: gram.num_records for node, gram in grams.items()}
        laws = decode_residuals(study, second, answer, counts)
        mechanisms = with_residual_laws(mechanisms, laws)
    model = assemble(Graph.dag(schema.names, edges), schema, mechanisms)
    return Fit(study=study, sites=sites, grams=grams, mechanisms=mechanisms, model=model)


@pytest.fixture(scope="session")
def mixed_study():
    return Study.model_validate({"variables": MIXED_VARIABLES})


@pytest.fixture(scope="session")
def mixed_sites(mixed_study):
    rng = np.random.default_rng(0)
    return [table_of(mixed_study, mixed_rows(1500, rng, 0.5 * k)) for k in range(3)]


@pytest.fixture(scope="session")
def mixed_edges():
    return MIXED_EDGES


@pytest.fixture(scope="session")
def mixed_fit(mixed_study, mixed_sites):
    return fit_sites(mixed_study, MIXED_EDGES, mixed_sites)


@pytest.fixture(scope="session")
def federated_fit():
    return fit_sites


@pytest.fixture(scope="session")
def secure_total():
    return released_sum


@pytest.fixture(scope="session")
def as_table():
    return table_of


def released_for(state, request, sites):
    """What the secure sum and the cell rule would release for one request of a protocol."""
    study, kind, rng = state.study, kind_of(request), np.random.default_rng(0)
    spec = derive_spec(study, request, len(sites))
    sites = [rows_for(study, request, site) for site in sites]
    if not takes_all(study, kind):
        sites = [kept_records(study, request, site) for site in sites]
    if request.kind in ("validation", "flow_likelihoods"):
        plan = training_plan(study.model, epsilon=None, delta=study.privacy.delta)
        vectors = [
            kind.measure(study, request, site, weights=_weights(state, request), plan=plan)
            for site in sites
        ]
    elif request.kind == "update":
        plan = training_plan(study.model, epsilon=None, delta=study.privacy.delta)
        vectors = [
            kind.train(
                study,
                request,
                site,
                rng,
                num_sites=len(sites),
                weights=state.flow.weights,
                training=plan,
            )
            for site in sites
        ]
    else:
        vectors = [kind.compute(study, request, site, rng) for site in sites]
    if not takes_all(study, kind):
        vectors = [
            with_counts(vector, study, request, site)
            for vector, site in zip(vectors, sites, strict=True)
        ]
    return apply_cell_rule(sum(vectors), spec)


def _weights(state, request):
    return state.flow.weights if request.kind == "validation" else state.flow.chosen


def walk_through(study, sites, *, seed=0, steps=STEPS):
    """Every state of a study, from its first request to its end, without cryptography."""
    states = [start(study, len(sites), seed, steps=steps)]
    while not states[-1].done:
        now = states[-1]
        totals = {r.id(): released_for(now, r, sites) for r in now.requests}
        states.append(step(now, totals))
    return states


def card_of(study, sites=("a", "b", "c")):
    """A run card as the coordinator writes it."""
    return {
        "run_id": "0" * 16,
        "study": {"name": study.study.name, "hash": study.hash(), "fingerprint": "0000-1111"},
        "seed": 0,
        "sites": list(sites),
        "steward": "steward",
        "rounds": 3,
        "replayed_rounds": 0,
        "privacy": [{**s.to_json(), "delta": None} for s in privacy_statements(study)],
        "versions": {"fedcausal": "0"},
        "transfers": [
            {
                "party": site,
                "kind": "query.upload",
                "sent": 5,
                "received": 7,
                "statistics": {"gram-0": 7},
            }
            for site in sites
        ],
    }


@pytest.fixture(scope="session")
def walk():
    return walk_through


@pytest.fixture(scope="session")
def release():
    return released_for


@pytest.fixture(scope="session")
def make_card():
    return card_of


@pytest.fixture(scope="session")
def asked_study():
    """The mixed study, quick, with a question and the order in time."""
    return Study.model_validate(
        {
            "study": {"name": "mixed", "title": "A <mixed> study", "question": "Does it help?"},
            "variables": MIXED_VARIABLES,
            "knowledge": {
                "tiers": [["age", "group"], ["drug"], ["pressure", "stage"], ["status"]]
            },
            "discovery": {"bootstrap": 4, "vote_bootstraps": 2, "restarts": 1},
            "effects": {
                "queries": [{"treatment": "drug", "outcome": "pressure", "values": ["0", "1"]}],
                "draws": 20,
                "samples": 500,
            },
        }
    )


@pytest.fixture(scope="session")
def asked_states(asked_study, mixed_sites):
    return walk_through(asked_study, mixed_sites)


@pytest.fixture(scope="session")
def asked_run(tmp_path_factory, asked_study, asked_states):
    folder = tmp_path_factory.mktemp("runs") / "mixed-1"
    write_run_folder(asked_states[-1], folder, card=card_of(asked_study))
    return load_run(folder)


@pytest.fixture(scope="session")
def seeded_noise():
    """Stands in for `discrete_gaussian`, whose own law `test_integer_noise.py` tests.

    A bound on a statistic of true noise fails in some run; from a seed it holds or it does not.
    """

    def source(seed=0):
        rng = np.random.default_rng(seed)
        return lambda scales: np.rint(scales * rng.standard_normal(scales.size)).astype(np.int64)

    return source


CONFOUNDED = {
    "variables": {
        "age": {"kind": "continuous", "bounds": [-4, 4], "unit": "years"},
        "sex": {"kind": "binary", "categories": ["f", "m"]},
        "drug": {"kind": "binary", "categories": ["no", "yes"]},
        "pressure": {"kind": "continuous", "bounds": [-12, 12], "unit": "mmHg"},
    },
    "knowledge": {
        "graph": (
            "digraph {age -> drug; sex -> drug; age -> pressure; sex -> pressure; "
            "drug -> pressure}"
        )
    },
    "discovery": {"site_effects": "pool", "votes": False},
    "model": {"family": "gram", "degree": 2},
    "effects": {
        "queries": [{"treatment": "drug", "outcome": "pressure", "values": ["no", "yes"]}],
        "draws": 20,
        "samples": 500,
    },
}
CONFOUNDED_EFFECT = 2.0


def confounded_study(**sections):
    """Age and sex influence both the drug and the pressure; the graph is given."""
    return Study.model_validate({**CONFOUNDED, **sections})


def confounded_rows(num_rows, rng):
    """A logistic treatment, an effect of 2 on average that differs with age."""
    age = rng.normal(size=num_rows).clip(-4, 4)
    sex = rng.integers(0, 2, num_rows).astype(float)
    chance = 1 / (1 + np.exp(-(0.8 * age + 0.5 * sex - 0.25)))
    drug = (rng.random(num_rows) < chance) * 1.0
    mean = 1.5 * age + sex + drug * (CONFOUNDED_EFFECT + 0.5 * age) + 0.3 * (age**2 - 1)
    pressure = (mean + rng.normal(size=num_rows)).clip(-12, 12)
    return {"age": age, "sex": sex, "drug": drug, "pressure": pressure}


@dataclass(frozen=True)
class Confounded:
    """Studies and rows with a known effect of the drug on the pressure."""

    effect: float = CONFOUNDED_EFFECT

    def study(self, **sections):
        return confounded_study(**sections)

    def sites(self, study, *, num_sites, rows_per_site, seed):
        rng = np.random.default_rng(seed)
        return [table_of(study, confounded_rows(rows_per_site, rng)) for _ in range(num_sites)]


@pytest.fixture(scope="session")
def confounded():
    return Confounded()


def noisy_walk_through(study, sites, source, *, seed=0):
    """The last state of a study whose private kinds draw their noise from `source`."""
    state = start(study, len(sites), seed)
    while not state.done:
        totals = {}
        for request in state.requests:
            kind = kind_of(request)
            if not isinstance(kind, PrivateKind):
                totals[request.id()] = released_for(state, request, sites)
                continue
            spec = derive_spec(study, request, len(sites))
            vectors = [
                kind.compute_private(study, request, site, num_sites=len(sites), noise=source)
                for site in sites
            ]
            assert all(np.abs(v).max() <= spec.bound for v in vectors)
            totals[request.id()] = apply_cell_rule(sum(vectors), spec)
        state = step(state, totals)
    return state


@pytest.fixture(scope="session")
def noisy_walk():
    return noisy_walk_through
