"""Reading messages: the right type or a `ProtocolError`."""

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import parsing

WRONG = {
    "text": [None, 1, [], {}, True],
    "integer": [None, "1", 1.0, True, -1],
    "mapping": [None, "1", []],
    "texts": [None, {"a": 1}],
    "strings": [None, "abc", [1]],
    "objects": [None, {}, [1]],
    "marks": [None, [1], [[1]], [["a", 1]], [[True, "a"]]],
    "envelopes": [None, [{}], [{"header": {}, "signature": ""}]],
}


@pytest.mark.parametrize(
    ("reader", "value"), [(reader, value) for reader in WRONG for value in WRONG[reader]]
)
def test_another_type_is_refused(reader, value):
    with pytest.raises(ProtocolError):
        getattr(parsing, reader)({"entry": value}, "entry")
    with pytest.raises(ProtocolError):
        getattr(parsing, reader)({}, "entry")


def test_the_right_type_is_read():
    header = {"t": "x", "n": 3, "m": {"a": "b"}, "l": ["a"], "o": [{"a": 1}], "p": [[1, "s"]]}
    assert parsing.text(header, "t") == "x"
    assert parsing.integer(header, "n") == 3
    assert parsing.mapping(header, "m") == parsing.texts(header, "m") == {"a": "b"}
    assert parsing.strings(header, "l") == ["a"]
    assert parsing.objects(header, "o") == [{"a": 1}]
    assert parsing.marks(header, "p") == ((1, "s"),)
    assert parsing.json_object(b'{"a": 1}') == {"a": 1}


def test_blobs_are_bytes():
    message = Message(kind="k", blobs={"a": b"1"})
    assert parsing.blob(message, "a") == b"1"
    with pytest.raises(ProtocolError, match="'b'"):
        parsing.blob(message, "b")
