import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_clients import codec as client_codec
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_server import codec as server_codec
from fedcausal_simulations.inprocess import serialise

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
some_messages = st.builds(
    Message,
    kind=st.sampled_from(["query.hello", "train.upload"]),
    header=st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3),
    blobs=st.dictionaries(texts, st.binary(max_size=64), max_size=3),
)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(some_messages)
def test_both_codecs_are_one_and_the_same(message):
    record = client_codec.encode(message)
    assert server_codec.decode(record) == message
    assert client_codec.decode(server_codec.encode(message)) == message


def test_through_flowers_own_serialisation():
    from flwr.app import Message as FlowerMessage
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    big = np.random.default_rng(0).bytes(11 * 2**20)
    message = Message(kind="query.hello", header={"é": [1, None]}, blobs={"a/b": big, "c": b""})
    sent = FlowerMessage(client_codec.encode(message), 7, "query.hello")
    assert server_codec.decode(serialise(sent).content) == message


@pytest.mark.parametrize(
    "record",
    [
        RecordDict(),
        RecordDict({"header": ConfigRecord({"text": "{}"})}),
        RecordDict({"header": ConfigRecord({"text": 3}), "blobs": ArrayRecord()}),
        RecordDict({"header": MetricRecord({"text": 3}), "blobs": ArrayRecord()}),
        RecordDict(
            {
                "header": ConfigRecord({"text": '{"header":{},"kind":"k"}'}),
                "blobs": ArrayRecord({"b": Array(np.zeros(3))}),
            }
        ),
        RecordDict(
            {
                "header": ConfigRecord({"text": '{"header":{},"kind":"k"}'}),
                "blobs": ArrayRecord({"b": Array("uint8", (3,), "numpy.ndarray", b"junk")}),
            }
        ),
    ],
)
@pytest.mark.parametrize("codec", [client_codec, server_codec])
def test_other_records_are_refused(codec, record):
    with pytest.raises(ProtocolError):
        codec.decode(record)


@pytest.mark.parametrize("codec", [client_codec, server_codec])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 an archive that is none",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\x04\x00{[(\n",
        b"\x93NUMPY\x09\x09\x04\x00{}\n",
        b"cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_bytes_that_numpy_cannot_read_are_no_crash(codec, content):
    """A hostile party's array: whatever NumPy raises, the other side hears one error."""
    blobs = ArrayRecord({"b": Array("uint8", (3,), "numpy.ndarray", content)})
    text = ConfigRecord({"text": '{"header":{},"kind":"k"}'})
    with pytest.raises(ProtocolError, match="not a message"):
        codec.decode(RecordDict({"header": text, "blobs": blobs}))
