import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_server.codec import decode, encode


def test_a_record_holds_one_text_and_arrays_of_bytes():
    message = Message(kind="query.hello", header={"a": [1]}, blobs={"b": b"\x00", "c": b""})
    record = encode(message)
    assert set(record) == {"header", "blobs"}
    assert {array.dtype for array in record["blobs"].values()} == {"uint8"}
    assert decode(record) == message


def test_a_record_of_something_else():
    other = RecordDict({"header": ConfigRecord({"text": "hello"}), "blobs": ArrayRecord()})
    with pytest.raises(ProtocolError):
        decode(other)
