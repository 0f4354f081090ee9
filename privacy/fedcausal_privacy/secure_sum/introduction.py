"""The greeting: who is there, under which key, and the manifest made of it."""

from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.envelopes import Envelope, OnRefusal, open_envelope, refusal
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, parsing
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState
from fedcausal_privacy.secure_sum.bfv import parse_public
from fedcausal_privacy.secure_sum.manifest import Manifest, Party

__all__ = ["agreed", "checked"]


def checked(state: AggregatorState, sender: str, reply: Message, on_refusal: OnRefusal) -> Party:
    """Verify that a party's greeting is signed, by the key it names, for this run."""
    envelope = Envelope.from_json(reply.header.get("envelope"))
    payload, is_key = _payload(state, sender, reply)
    if envelope.header.sender != sender:
        raise refusal(f"{sender!r} greeted under another name", on_refusal)
    expected = headers.hello_header(
        run_id=state.run_id,
        sender=sender,
        identity=envelope.header.key,
        he_sha256=sha256_hex(payload) if is_key else "",
    )
    open_envelope(
        envelope,
        payload,
        signer=envelope.header.key,
        expected=expected,
        on_refusal=on_refusal,
    )
    version = "" if is_key else payload.decode()
    return Party(name=sender, identity=envelope.header.key, data_version=version)


def agreed(
    state: AggregatorState, on_refusal: OnRefusal
) -> tuple[Manifest, bytes, dict[str, JsonValue]]:
    """The manifest of the answers, the encryption context, and the stewards' introductions."""
    parties = {
        name: checked(state, name, reply, on_refusal) for name, reply in state.answers.items()
    }
    context = parsing.blob(state.answers[state.steward], "context")
    parse_public(context)
    introductions = {"steward": state.answers[state.steward].header.get("envelope")}
    second, pad_key = None, ""
    if state.second_steward:
        answer = state.answers[state.second_steward]
        second, pad_key = parties[state.second_steward], parsing.blob(answer, "pad_key").hex()
        introductions["second_steward"] = answer.header.get("envelope")
    manifest = Manifest(
        run_id=state.run_id,
        study_hash=state.study_hash,
        roster=tuple(parties[site] for site in state.sites),
        steward=parties[state.steward],
        he_sha256=sha256_hex(context),
        k_min=state.k_min,
        mode=state.mode,
        second_steward=second,
        pad_key=pad_key,
    )
    return manifest, context, introductions


def _payload(state: AggregatorState, sender: str, reply: Message) -> tuple[bytes, bool]:
    """What a party signed with its greeting: a steward's key, or a site's data version."""
    if sender == state.steward:
        return parsing.blob(reply, "context"), True
    if sender == state.second_steward:
        return parsing.blob(reply, "pad_key"), True
    return parsing.text(reply.header, "data_version").encode(), False
