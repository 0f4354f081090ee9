"""A block covariance is complete, frozen, and answers by name."""

import numpy as np
import pytest

from fedcausal.errors import SchemaError
from fedcausal.moments.covariance import BlockCovariance


def _build(**changes):
    parts = {
        "names": ("a", "b"),
        "blocks": {"a": (0,), "b": (1, 2)},
        "covariance": np.eye(3),
        "num_records": np.array([[10.0, 7.0], [7.0, 9.0]]),
    }
    return BlockCovariance(**{**parts, **changes})


def test_records_and_rows_by_name():
    statistics = _build()
    assert statistics.records(["a"]) == 10.0
    assert statistics.records(["b", "a"]) == 7.0
    assert statistics.rows(["b", "a"]) == [1, 2, 0]
    assert statistics.index("b") == 1
    with pytest.raises(SchemaError, match="no usable variable 'c'"):
        statistics.records(["c"])


def test_arrays_are_copied_and_frozen():
    matrix = np.eye(3)
    statistics = _build(covariance=matrix)
    matrix[0, 0] = 5.0
    assert statistics.covariance[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        statistics.covariance[0, 0] = 2.0


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": {"a": (0,), "b": (1, 1)}},
        {"covariance": np.eye(4)},
        {"num_records": np.eye(3)},
        {"responses": {"a": (1,)}},
        {"responses": {"b": ()}},
    ],
)
def test_shapes_agree(changes):
    with pytest.raises(SchemaError):
        _build(**changes)


def test_a_block_is_its_own_response_unless_said():
    assert _build().is_linear
    curved = _build(responses={"b": (1,)})
    assert curved.responses == {"a": (0,), "b": (1,)}
    assert not curved.is_linear
