from dataclasses import dataclass

import numpy as np
import pytest

from fedcausal.graph import Graph
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
from fedcausal.study import Study
from fedcausal.table import Table
from fedcausal_privacy.disclosure import apply_cell_rule

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


def fit_sites(study, edges, sites, ranges=None):
    """Two rounds: families, then residuals."""
    schema = study.schema()
    request = families_request(edges, schema.names, ranges or {})
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
