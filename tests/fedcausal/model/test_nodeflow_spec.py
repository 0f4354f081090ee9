import json

import numpy as np
import pytest

from fedcausal.errors import GraphError, ProtocolError, SchemaError
from fedcausal.model.nodeflow_spec import NUMBER, OBSERVED, NodeFlowSpec
from fedcausal.schema import Kind, Schema, Variable

SCHEMA = Schema(
    (
        Variable(name="age", kind=Kind.CONTINUOUS, bounds=(20.0, 80.0)),
        Variable(name="drug", kind=Kind.CATEGORICAL, categories=("a", "b", "c")),
        Variable(name="stage", kind=Kind.ORDINAL, categories=("I", "II", "III")),
        Variable(name="death", kind=Kind.BINARY),
    )
)
EDGES = (("age", "drug"), ("age", "stage"), ("drug", "stage"), ("stage", "death"))


def spec(**changes):
    return NodeFlowSpec.from_schema(SCHEMA, changes.pop("edges", EDGES), **changes)


def test_a_schema_becomes_nodes():
    made = spec()
    assert made.kinds == ("continuous", "discrete", "ordinal", "discrete")
    assert made.levels == (0, 3, 0, 2)
    assert made.bounds == ((20.0, 80.0), (0.0, 0.0), (0.0, 2.0), (0.0, 0.0))


def test_json_round_trip():
    made = spec(hidden=5, bins=3)
    assert NodeFlowSpec.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    "change",
    [{"names": None}, {"extra": 1}, {"edges": [["age"]]}, {"bounds": 3}, {"hidden": "16"}],
)
def test_other_json_is_refused(change):
    with pytest.raises(ProtocolError):
        NodeFlowSpec.from_json({**spec().to_json(), **change})


def test_families():
    made = spec()
    assert made.parents("stage") == ("age", "drug")
    assert made.descendants(["drug"]) == {"stage", "death"}
    assert made.descendants(["drug", "stage"]) == {"death"}
    assert made.topological_levels == ((0,), (1,), (2,), (3,))


def test_inputs_are_levels_numbers_and_observed_flags_of_the_parents():
    assert spec().inputs("stage") == (
        (0, NUMBER), (0, OBSERVED), (1, 0.0), (1, 1.0), (1, 2.0), (1, OBSERVED),
    )  # fmt: skip
    assert spec().inputs("age") == ()


def test_scaling_uses_bounds_alone():
    made = spec()
    values = np.array([[20.0, 2.0, 0.0, 1.0], [50.0, 0.0, 1.0, np.nan], [80.0, 1.0, 2.0, 0.0]])
    scaled = made.scale(values)
    assert scaled[:, 0].tolist() == [-3.0, 0.0, 3.0]
    assert scaled[:, 1].tolist() == [2.0, 0.0, 1.0]
    np.testing.assert_allclose(made.unscale(scaled), values, rtol=1e-15)


def test_a_subset_of_the_variables_and_released_ranges():
    open_schema = Schema(
        (Variable(name="x", kind=Kind.CONTINUOUS), Variable(name="y", kind=Kind.BINARY))
    )
    made = NodeFlowSpec.from_schema(open_schema, [], names=["x"], ranges={"x": (-1.0, 2.0)})
    assert made.names == ("x",)
    assert made.bounds == ((-1.0, 2.0),)
    with pytest.raises(SchemaError, match=r"variables\.x\.bounds"):
        NodeFlowSpec.from_schema(open_schema, [])


def test_cycles_and_strangers_are_refused():
    with pytest.raises(GraphError, match="cycle"):
        spec(edges=[("age", "drug"), ("drug", "stage"), ("stage", "age")])
    with pytest.raises(GraphError, match="weight"):
        spec(edges=[("age", "weight")])


@pytest.mark.parametrize("change", [{"hidden": 0}, {"bins": 1}, {"bins": 10_000}])
def test_sizes_are_limited(change):
    with pytest.raises(SchemaError, match="model"):
        spec(**change)


def test_an_unknown_name_is_an_error():
    with pytest.raises(SchemaError, match="aeg"):
        spec().index("aeg")
