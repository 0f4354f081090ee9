"""A message as a Flower record: JSON text in a config record, blobs as arrays of bytes.

Blobs are arrays, never `bytes` in a config record: Flower cuts arrays into objects of 5 MiB, while
one large `bytes` value is one object. The coordinator has the same ten lines; what is more than
naming Flower's types is `fedcausal_privacy.messages`, which both share.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import BLOBS_RECORD, HEADER_RECORD, Message, from_wire, to_wire

__all__ = ["decode", "encode"]


def encode(message: Message) -> RecordDict:
    """The record of a message."""
    text, blobs = to_wire(message)
    arrays = ArrayRecord({name: Array(array) for name, array in blobs.items()})
    return RecordDict({HEADER_RECORD: ConfigRecord({"text": text}), BLOBS_RECORD: arrays})


def decode(record: RecordDict) -> Message:
    """The message of a record; one that `encode` cannot have made is a `ProtocolError`."""
    try:
        text = record.config_records[HEADER_RECORD]["text"]
        arrays = record.array_records[BLOBS_RECORD]
        blobs = {name: array.numpy() for name, array in arrays.items()}
    except (
        Exception
    ):  # what Flower and NumPy raise on bytes that they cannot read is no closed list
        raise ProtocolError("a record is not a message of this project") from None
    return from_wire(str(text), blobs)
