"""A request travels as JSON and has one id."""

import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics.gram_kind import GramKind
from fedcausal.statistics.kind import Request, StatisticKind
from fedcausal.statistics.range_kind import RangeKind
from fedcausal_privacy.canonical import json_hash


def test_round_trip_and_id():
    request = Request(kind="gram", parameters={"ranges": {"x": [0, 1]}, "b": None})
    same = Request(kind="gram", parameters={"b": None, "ranges": {"x": [0, 1]}})
    assert Request.from_json(request.to_json()).id() == request.id() == same.id()
    assert request.id().startswith("gram-")
    assert Request(kind="gram").id() != request.id()


def test_an_id_holds_the_whole_hash():
    """Masks are bound to the id: with a short hash, sites could be asked different questions.

    Two requests of one id, found in 2^24 tries for 48 bits, would let a coordinator ask one site
    for its answer and all others for something known, under masks that cancel.
    """
    request = Request(kind="update", parameters={"weights_sha256": "0" * 64})
    assert request.id() == f"update-{json_hash(dict(request.parameters))}"


def test_parameters_cannot_be_changed():
    parameters = {"a": 1}
    request = Request(kind="x", parameters=parameters)
    parameters["a"] = 2
    assert request.parameters["a"] == 1
    with pytest.raises(TypeError):
        request.parameters["a"] = 3


@pytest.mark.parametrize(
    "value",
    [None, 3, {}, {"kind": "x"}, {"kind": 1, "parameters": {}}, {"kind": "x", "parameters": 1}],
)
def test_anything_else_is_no_request(value):
    with pytest.raises(ProtocolError):
        Request.from_json(value)


def test_kinds_keep_the_contract():
    kinds: list[StatisticKind] = [GramKind(), RangeKind()]
    assert [(kind.name, kind.part) for kind in kinds] == [("gram", "graph"), ("range", "graph")]
