import numpy as np
import pytest
import torch

from fedcausal.graph import Graph
from fedcausal.model.family_basis import family_of_degree, family_of_knots
from fedcausal.model.fitting import assemble
from fedcausal.model.mechanism import LevelMechanism, NumericMechanism
from fedcausal.model.nodeflow import build
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.schema import Kind, Schema, Variable

MIXED = NodeFlowSpec(
    names=("a", "b", "c", "o", "y", "z"),
    kinds=("continuous", "discrete", "continuous", "ordinal", "discrete", "continuous"),
    levels=(0, 3, 0, 0, 2, 0),
    bounds=((-3.0, 3.0), (0.0, 0.0), (0.0, 10.0), (0.0, 6.0), (0.0, 0.0), (100.0, 160.0)),
    edges=(("a", "b"), ("a", "c"), ("b", "c"), ("c", "o"), ("o", "y"), ("b", "y"), ("c", "z")),
    hidden=8,
    bins=5,
)


def bent(spec, seed=0, size=0.3):
    """A flow with all parameters moved away from their start."""
    flow = build(spec, seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += torch.from_numpy(size * rng.standard_normal(tuple(parameter.shape)))
    return flow


@pytest.fixture
def mixed_spec():
    return MIXED


@pytest.fixture
def mixed_flow():
    return bent(MIXED)


@pytest.fixture
def make_bent():
    return bent


@pytest.fixture(scope="module")
def spline_model():
    """Splines of numbers, alone and times levels; a root, a level and two curves."""
    rng = np.random.default_rng(5)
    schema = Schema(
        (
            Variable(name="a", kind=Kind.CONTINUOUS, bounds=(-5.0, 5.0)),
            Variable(name="b", kind=Kind.CONTINUOUS, bounds=(-5.0, 5.0)),
            Variable(name="g", kind=Kind.CATEGORICAL, categories=("u", "v", "w")),
            Variable(name="y", kind=Kind.CONTINUOUS, bounds=(-5.0, 5.0)),
        )
    )
    parents = {"a": (), "g": (), "b": ("a",), "y": ("a", "b", "g")}
    mechanisms = {}
    for name, own in parents.items():
        knots = {p: (-0.5, -0.2, 0.1, 0.4, 0.7) for p in own if p != "g"}
        make = family_of_knots if knots else family_of_degree
        extra = {"knots": knots} if knots else {"degree": 1}
        family = make(schema, name, own, ranges={}, **extra)
        width = 1 + family.basis.num_features
        if name == "g":
            mechanisms[name] = LevelMechanism(
                family=family,
                coefficients=np.array([[0.5, 0.3, 0.2]]),
                feature_covariance=np.eye(1),
                level_covariance=np.eye(3),
            )
            continue
        mechanisms[name] = NumericMechanism(
            family=family,
            coefficients=0.2 * rng.standard_normal(width),
            covariance=np.eye(width),
            residual=ResidualLaw.gaussian(0.2, 1000),
        )
    edges = [(p, name) for name, own in parents.items() for p in own]
    return assemble(Graph.dag(schema.names, edges), schema, mechanisms)


UNEVEN = {
    "study": {"name": "uneven"},
    "variables": {
        "g": {"kind": "binary"},
        "x": {"kind": "continuous", "bounds": [-5.0, 5.0]},
        "y": {"kind": "continuous", "bounds": [-40.0, 40.0]},
        "z": {"kind": "continuous", "bounds": [-60.0, 60.0]},
    },
    "knowledge": {"graph": "dag { x -> y g -> y y -> z }"},
    "model": {"variance": "by-parents", "family": "gram"},
}


def uneven_spread(x, g):
    """The true standard deviation of y given its parents."""
    return 0.4 * np.exp(0.5 * x) * np.where(g > 0, 2.0, 1.0)


def uneven_mean(x, g):
    return 2.0 * np.sin(x) + g


def uneven_rows(num_rows, rng):
    """Records of y = mean + spread e, z = y + e: the truth of both is known; with y's noise."""
    x, noise = np.clip(rng.normal(size=num_rows), -5, 5), rng.normal(size=num_rows)
    g = rng.integers(0, 2, num_rows).astype(float)
    y = uneven_mean(x, g) + uneven_spread(x, g) * noise
    z = y + 0.5 * rng.normal(size=num_rows)
    return {"g": g, "x": x, "y": y, "z": z}, noise


@pytest.fixture(scope="session")
def uneven(walk, as_table):
    """The states of a study whose noise depends on the parents, and of one that does not ask."""
    from fedcausal.study import Study

    rng = np.random.default_rng(3)
    parts = [uneven_rows(4000, rng)[0] for _ in range(3)]
    found = {}
    for variance in ("by-parents", "constant"):
        content = {**UNEVEN, "model": {**UNEVEN["model"], "variance": variance}}
        study = Study.model_validate(content)
        found[variance] = walk(study, [as_table(study, part) for part in parts])
    return found


@pytest.fixture(scope="session")
def uneven_truth():
    return uneven_rows, uneven_mean, uneven_spread
