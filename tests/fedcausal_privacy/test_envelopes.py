"""Envelopes: any change of signature, header or payload is refused with one and the same error."""

from dataclasses import fields, replace

import pytest

from fedcausal_privacy.envelopes import Envelope, Header, ignore, open_envelope, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity

ALICE, MALLORY = Identity.generate(), Identity.generate()
HEADER = Header(kind="k", run_id="r", sender="alice", round=1, attempt=1, statistic="s")
PAYLOAD = b"payload"
SEALED = seal(ALICE, HEADER, PAYLOAD)


def opened(envelope, payload=PAYLOAD, expected=HEADER, on_refusal=ignore):
    return open_envelope(
        envelope, payload, signer=ALICE.public, expected=expected, on_refusal=on_refusal
    )


def test_what_was_sealed_opens_also_after_json():
    assert opened(SEALED) == SEALED.header
    assert opened(Envelope.from_json(SEALED.to_json())) == SEALED.header


@pytest.mark.parametrize("name", [f.name for f in fields(Header)])
def test_any_changed_header_entry_is_refused_also_when_signed_again(name):
    changed = 2 if name in ("round", "attempt") else "changed"
    header = replace(SEALED.header, **{name: changed})
    reasons = []
    with pytest.raises(ProtocolError):
        opened(replace(SEALED, header=header), on_refusal=reasons.append)
    assert "signature" in reasons[0]
    if name not in ("key", "payload_sha256"):
        with pytest.raises(ProtocolError):
            opened(seal(ALICE, header, PAYLOAD), on_refusal=reasons.append)
        assert name in reasons[1]


def test_a_key_is_free_only_when_none_is_expected():
    announced = seal(ALICE, replace(HEADER, key="new"), PAYLOAD)
    assert opened(announced).key == "new"
    with pytest.raises(ProtocolError):
        opened(announced, expected=replace(HEADER, key="other"))


def test_every_flipped_bit_of_the_signature_and_the_payload_is_refused():
    for bit in range(8 * 64):
        signature = bytearray(SEALED.signature)
        signature[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            opened(replace(SEALED, signature=bytes(signature)))
    for bit in range(8 * len(PAYLOAD)):
        payload = bytearray(PAYLOAD)
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            opened(SEALED, bytes(payload))


def test_all_refusals_say_the_same_outside_and_the_reason_inside():
    reasons, messages = [], set()
    for envelope, payload, expected in [
        (seal(MALLORY, HEADER, PAYLOAD), PAYLOAD, HEADER),
        (SEALED, b"other", HEADER),
        (SEALED, PAYLOAD, replace(HEADER, round=9)),
    ]:
        with pytest.raises(ProtocolError) as caught:
            opened(envelope, payload, expected, reasons.append)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert len(set(reasons)) == 3


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"header": SEALED.header.to_json()},
        {**SEALED.to_json(), "signature": "zz"},
        {**SEALED.to_json(), "signature": SEALED.signature.hex().upper()},
        {**SEALED.to_json(), "signature": " " + SEALED.signature.hex()},
        {**SEALED.to_json(), "signature": 1},
        {**SEALED.to_json(), "more": 1},
        {**SEALED.to_json(), "header": {"kind": "k"}},
        {**SEALED.to_json(), "header": {**SEALED.header.to_json(), "round": True}},
        {**SEALED.to_json(), "header": {**SEALED.header.to_json(), "sender": 1}},
    ],
)
def test_malformed_envelopes_are_refused(value):
    with pytest.raises(ProtocolError):
        Envelope.from_json(value)
