"""The closed form's means that a flow starts from: the same curve, and nothing malformed."""

import json

import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.model.family_basis import family_of_knots
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.offsets import NodeOffset, nodeflow_offsets
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.schema import Schema, Variable

SCHEMA = Schema(
    (
        *(Variable(name=n, kind="continuous", bounds=(-2.0, 3.0)) for n in ("x", "z", "w", "y")),
        Variable(name="g", kind="binary", categories=("0", "1")),
    )
)
KNOTS = {"x": (-0.5, 0.0, 0.25), "z": (-0.25, 0.5, 0.75), "w": (-0.5, 0.0, 0.5)}


def mechanism(*parents):
    family = family_of_knots(SCHEMA, "y", parents, ranges={}, knots=KNOTS)
    size = 1 + family.basis.num_features
    return NumericMechanism(
        family=family,
        coefficients=np.random.default_rng(0).normal(size=size),
        covariance=np.eye(size),
        residual=ResidualLaw.gaussian(0.1, 100),
    )


def test_an_offset_is_the_mean_of_the_mechanism():
    one = mechanism("x", "z")
    (offset,) = nodeflow_offsets({"y": one})
    columns = {n: np.random.default_rng(1).uniform(-4, 5, 50) for n in ("x", "z")}
    expected = one.predict(np.zeros(50), columns)
    assert offset.mean(columns) == pytest.approx(expected, rel=1e-12)


def test_roots_and_children_of_levels_have_none():
    assert nodeflow_offsets({"y": mechanism("x", "g")}) == ()
    assert nodeflow_offsets({"y": mechanism()}) == ()


def test_a_node_whose_parents_pairs_cannot_hold_has_none():
    three = mechanism("x", "z", "w")
    assert nodeflow_offsets({"y": three}) == ()
    assert nodeflow_offsets({"y": mechanism("x", "w"), "z": mechanism("x")}) != ()


def test_json_round_trip():
    (offset,) = nodeflow_offsets({"y": mechanism("x", "z")})
    assert NodeOffset.from_json(json.loads(json.dumps(offset.to_json()))) == offset


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("knots", [[0.5, 0.1, 0.2], [-0.25, 0.5, 0.75]]),
        ("knots", [[0.1, 0.2, 2.0], [-0.25, 0.5, 0.75]]),
        ("knots", "none"),
        ("coefficients", [1.0]),
        ("coefficients", ["a"]),
        ("range", [1.0, 0.0]),
        ("range", [1.0]),
        ("parents", ["x"]),
        ("ranges", [[0.0, 1.0]]),
        ("extra", 1),
    ],
)
def test_malformed_parts_are_refused(key, value):
    (offset,) = nodeflow_offsets({"y": mechanism("x", "z")})
    with pytest.raises(ProtocolError, match="closed form"):
        NodeOffset.from_json({**offset.to_json(), key: value})


def test_numbers_that_are_not_finite_are_refused():
    (offset,) = nodeflow_offsets({"y": mechanism("x", "z")})
    numbers = list(offset.coefficients)
    numbers[3] = float("nan")
    with pytest.raises(ProtocolError, match="does not fit"):
        NodeOffset.from_json({**offset.to_json(), "coefficients": numbers})
