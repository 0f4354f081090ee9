import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy import messages
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message, from_wire, pack, to_wire, unpack

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=3
        )
    ),
    max_leaves=8,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
some_messages = st.builds(
    Message,
    kind=texts,
    header=st.dictionaries(texts, json_values, max_size=4),
    blobs=st.dictionaries(texts, st.binary(max_size=64), max_size=4),
)


@settings(derandomize=True, deadline=None)
@given(some_messages)
def test_wire_and_file_forms_are_inverse(message):
    assert from_wire(*to_wire(message)) == message
    assert unpack(pack(message)) == message


@settings(derandomize=True, deadline=None)
@given(some_messages, st.data())
def test_a_damaged_file_is_refused_or_another_message(message, data):
    content = pack(message)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ProtocolError):
        unpack(content[:cut])
    with pytest.raises(ProtocolError):
        unpack(content + b"x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"kind": 1, "header": {}}',
        '{"kind": "k", "header": []}',
        "{" * 9,
        '{"kind": "k", "header": {"x": NaN}}',
        '{"kind": "k", "header": {}, "more": 1}',
        "[" * 100_000,
    ],
)
def test_texts_that_are_no_message(text):
    with pytest.raises(ProtocolError):
        from_wire(text, {})


@pytest.mark.parametrize(
    "text",
    [
        '{"header":{},"kind": "k"}',
        '{"kind":"k","header":{}}',
        '{"header":{"a":1,"a":2},"kind":"k"}',
        '{"header":{"a":1.0e0},"kind":"k"}',
        '{"header":{},"kind":"\\u006b"}',
        '{"header":{},"kind":"\\ud800"}',
    ],
)
def test_a_message_has_one_form_only(text):
    with pytest.raises(ProtocolError, match="canonical"):
        from_wire(text, {})


def test_blobs_are_flat_bytes():
    text, _ = to_wire(Message(kind="k"))
    for array in (np.zeros(3), np.zeros((2, 2), dtype=np.uint8)):
        with pytest.raises(ProtocolError, match="one-dimensional"):
            from_wire(text, {"b": array})


def test_limits(monkeypatch):
    monkeypatch.setattr(messages, "MAX_HEADER_BYTES", 40)
    monkeypatch.setattr(messages, "MAX_BLOBS", 2)
    monkeypatch.setattr(messages, "MAX_BLOB_BYTES", 10)
    to_wire(Message(kind="k", blobs={"a": b"12345", "b": b"12345"}))
    for header, blobs in [
        ({"x": "y" * 40}, {}),
        ({}, {"a": b"", "b": b"", "c": b""}),
        ({}, {"a": b"123456", "b": b"12345"}),
    ]:
        with pytest.raises(ProtocolError, match="exceed"):
            to_wire(Message(kind="k", header=header, blobs=blobs))
