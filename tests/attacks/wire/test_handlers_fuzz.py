"""Random messages to every handler: each answer is an allowed one, and the site lives on."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcausal.errors import ProtocolError
from fedcausal.statistics.gram_kind import gram_request
from fedcausal.statistics.kind import Request
from fedcausal_privacy.messages import (
    MAX_BLOBS,
    MAX_HEADER_BYTES,
    Message,
    from_wire,
    pack,
    unpack,
)

RANGES = {"dose": (-16.0, 16.0)}
LAX = {"max_requests": 10**6, "max_numbers_per_value": 1e9}
SETTINGS = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["../../etc/passwd", "gram", "age", "KANARIENVOGEL", "north", "0" * 64]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [
        "query.hello",
        "query.advertise",
        "query.freeze",
        "query.upload",
        "train.upload",
        "query.collect",
        "query.void",
        "query.pads",
        "query.decrypt",
        "query.close",
        "query.local",
        "",
    ]
)


@pytest.fixture
def honest(new_coordinator):
    """An open run and the messages of an honest one, by party and kind."""
    coordinator = new_coordinator(**LAX)
    return coordinator, _heard(_ask(coordinator))


@pytest.fixture
def retried(new_coordinator):
    """The same, after which a site was missing in a round and all tried again."""
    coordinator = _ask(new_coordinator(**LAX))
    posts = coordinator.lose("west")
    for _ in ("void", "advertise", "freeze", "upload"):
        posts = coordinator.step(posts)
    return coordinator, _heard(coordinator)


@pytest.fixture
def padded(new_coordinator, tools):
    """The same with two stewards."""
    study = tools.make_study(privacy={"mode": "two-steward"})
    coordinator = _ask(new_coordinator(study, **LAX))
    return coordinator, _heard(coordinator)


def _ask(coordinator):
    coordinator.open()
    coordinator.total(gram_request(RANGES))
    families = {"nodes": ["age", "dose"], "edges": [["age", "dose"]], "ranges": RANGES}
    families["ranges"] = {"dose": [-16.0, 16.0]}
    means = {"dose": {"coefficients": [0.0, 0.0, 0.0], "sd": 1.0}}
    for request in (
        Request(kind="families", parameters=families),
        Request(kind="residuals", parameters={**families, "means": means}),
    ):
        coordinator.upload(request)
    return coordinator


def _heard(coordinator):
    """What was said to one site and the stewards."""
    templates = [(party, message) for party, message, _ in coordinator.heard]
    return [t for t in templates if t[0] in ("north", "steward", "second-steward")]


def _places(value, path=()):
    """Every place in a JSON value that could be changed."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _changed(header, path, value, *, is_removed):
    if not path:
        return header
    header = copy.deepcopy(header)
    inside = header
    for key in path[:-1]:
        inside = inside[key]
    if is_removed:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return header


def _check(coordinator, tools, party, message):
    tools.check_reply(party, message, coordinator.say(party, message))


def _lives(coordinator, tools):
    before = len(coordinator.audit("north"))
    coordinator.begin("alive")
    coordinator.open()
    assert coordinator.total(gram_request(RANGES)).totals[0] == 180
    assert len(coordinator.audit("north")) > before


def _fuzz(honest, tools, num_examples):
    coordinator, templates = honest

    @settings(SETTINGS, max_examples=num_examples)
    @given(data=st.data())
    def one(data):
        party, message = data.draw(st.sampled_from(templates))
        header = json.loads(json.dumps(dict(message.header)))
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(list(_places(header))))
            removed = data.draw(st.booleans())
            header = _changed(header, path, data.draw(JSON), is_removed=removed)
        if data.draw(st.booleans()):
            header = {**header, "run_id": message.header["run_id"]}
        blobs = dict(message.blobs)
        for name in list(blobs):
            if data.draw(st.integers(0, 3)) == 0:
                blobs[name] = data.draw(st.binary(max_size=40))
        kind = data.draw(st.just(message.kind) | KINDS)
        _check(coordinator, tools, party, Message(kind=kind, header=header, blobs=blobs))

    one()
    _lives(coordinator, tools)


def test_changed_honest_messages(honest, tools):
    _fuzz(honest, tools, 60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_very_many_changed_honest_messages(honest, tools):
    _fuzz(honest, tools, 5000)


def test_changed_honest_messages_of_two_stewards(padded, tools):
    _fuzz(padded, tools, 25)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("run", ["padded", "retried"])
def test_many_changed_messages_of_other_runs(run, request, tools):
    _fuzz(request.getfixturevalue(run), tools, 1000)


def test_messages_of_nonsense(honest, tools):
    coordinator, _ = honest

    @settings(SETTINGS, max_examples=30)
    @given(KINDS, st.dictionaries(st.text(max_size=10), JSON, max_size=5), st.booleans())
    def one(kind, header, is_known):
        header = {**header, "run_id": coordinator.run_id} if is_known else header
        for party in ("north", "steward"):
            _check(coordinator, tools, party, Message(kind=kind, header=header))

    one()
    _lives(coordinator, tools)


def test_deep_and_long_headers(honest, tools):
    coordinator, _ = honest
    deep = []
    for _ in range(600):
        deep = [deep]
    for header in ({"run_id": "r", "study": "x" * 10**6}, {"run_id": "run1", "requests": deep}):
        for kind in ("query.hello", "query.upload"):
            _check(coordinator, tools, "north", Message(kind=kind, header=header))
    _lives(coordinator, tools)


def test_sizes_are_checked_before_anything_is_parsed():
    with pytest.raises(ProtocolError, match="exceeds"):
        from_wire("x" * (MAX_HEADER_BYTES + 1), {})
    empty = np.zeros(0, dtype=np.uint8)
    with pytest.raises(ProtocolError, match="exceed"):
        from_wire("{}", {str(i): empty for i in range(MAX_BLOBS + 1)})
    with pytest.raises(ProtocolError, match="not a one-dimensional"):
        from_wire("{}", {"a": np.zeros(3)})
    for text in ("[" * 10**5, '{"kind": 1, "header": {}}', '{"kind": "k", "header": {"a": NaN}}'):
        with pytest.raises(ProtocolError):
            from_wire(text, {})


@settings(SETTINGS, max_examples=100)
@given(st.binary(max_size=200))
def test_stored_bytes_are_a_message_or_an_error(content):
    try:
        unpack(content)
    except ProtocolError:
        return
    assert pack(unpack(content)) == content
