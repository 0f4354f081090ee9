"""The steward: decrypts one complete, signed sum once, and refuses everything else before."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers, steward
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words


def answer(pool, message, state=None, **more):
    return steward.step(
        state or pool.steward, message, identity=pool.identities["steward"], **more
    )


def test_a_complete_sum_is_decrypted_once(uploaded, decrypt):
    pool, _ = uploaded
    state, reply = answer(pool, decrypt)
    assert np.frombuffer(reply.blobs["release/gram"][:32], dtype="<i8").tolist() == [12, 30, -3, 0]
    assert state.spent == ((1, "gram"),)
    with pytest.raises(ProtocolError, match="refused"):
        answer(pool, decrypt, state)


@pytest.mark.usefixtures("no_decryption")
@pytest.mark.parametrize(
    "change",
    [
        {"round": 2},
        {"attempt": 2},
        {"kind": "train.upload"},
        {"kind": "query.hello"},
        {"specs": []},
        {"sums": {}},
        {"sums": {"gram": "ab" * 32}},
        {"uploads": {}},
        {"uploads": {"a": {}}},
        {"freezes": []},
        {"roster": None},
        {"sites": ["a", "b"]},
        {"sites": ["a", "b", "c", "d"]},
        {"manifest": None},
    ],
)
def test_any_changed_entry_is_refused_before_decryption(uploaded, decrypt, with_entries, change):
    with pytest.raises(ProtocolError):
        answer(uploaded[0], with_entries(decrypt, **change))


@pytest.mark.usefixtures("no_decryption")
def test_another_specification_is_refused(uploaded, decrypt, spec, with_entries):
    for other in (replace(spec, min_cell=0), replace(spec, bound=1), replace(spec, counts=())):
        with pytest.raises(ProtocolError):
            answer(uploaded[0], with_entries(decrypt, specs=[other.to_json()]))
    with pytest.raises(ProtocolError):
        answer(uploaded[0], with_entries(decrypt, specs=[spec.to_json(), spec.to_json()]))


@pytest.mark.usefixtures("no_decryption")
def test_another_manifest_is_refused(uploaded, decrypt, with_entries):
    pool, _ = uploaded
    manifest = pool.aggregator.manifest
    for other in (
        replace(manifest, run_id="other"),
        replace(manifest, study_hash="1" * 64),
        replace(manifest, he_sha256="1" * 64),
        replace(manifest, steward=replace(manifest.steward, name="other")),
        replace(manifest, steward=replace(manifest.steward, identity="1" * 64)),
    ):
        with pytest.raises(ProtocolError):
            answer(pool, with_entries(decrypt, manifest=other.to_json()))
    state = replace(pool.steward, manifest_digest="1" * 64)
    with pytest.raises(ProtocolError):
        answer(pool, decrypt, state)


@pytest.mark.usefixtures("no_decryption")
@pytest.mark.parametrize("position", [0, 1, 2])
def test_bit_flips_in_every_part_are_refused_before_decryption(
    uploaded, decrypt, with_entries, position
):
    pool, _ = uploaded
    site = "abc"[position]
    name = headers.forwarded_blob("gram", site)
    for place in (0, 4, 20, 100, 30_000, -1):
        content = bytearray(decrypt.blobs[name])
        content[place] ^= 4
        with pytest.raises(ProtocolError):
            answer(pool, with_entries(decrypt, {name: bytes(content)}))
    uploads, freezes = decrypt.header["uploads"], decrypt.header["freezes"]
    for place in (0, 31, 63):
        changed = flipped(uploads[site]["gram"], place)
        with pytest.raises(ProtocolError):
            answer(pool, with_entries(decrypt, uploads={**uploads, site: {"gram": changed}}))
        changed = [*freezes[:position], flipped(freezes[position], place)]
        with pytest.raises(ProtocolError):
            answer(pool, with_entries(decrypt, freezes=[*changed, *freezes[position + 1 :]]))


def flipped(envelope, place):
    sealed = Envelope.from_json(envelope)
    signature = bytearray(sealed.signature)
    signature[place] ^= 1
    return replace(sealed, signature=bytes(signature)).to_json()


@pytest.mark.usefixtures("no_decryption")
def test_a_site_left_out_doubled_or_swapped_is_refused(uploaded, decrypt, with_entries):
    pool, _ = uploaded
    one, two, three = (decrypt.header["uploads"][site] for site in "abc")
    for listed in (
        {"a": one, "b": two},
        {"a": one, "b": two, "c": two},
        {"a": two, "b": one, "c": three},
        {"a": one, "b": two, "c": three, "d": three},
    ):
        with pytest.raises(ProtocolError):
            answer(pool, with_entries(decrypt, uploads=listed))
    blobs = {
        headers.forwarded_blob("gram", "a"): decrypt.blobs[headers.forwarded_blob("gram", "b")]
    }
    with pytest.raises(ProtocolError):
        answer(pool, with_entries(decrypt, blobs))


def signed_ticket(pool, decrypt, spec, ciphertexts):
    """The decrypt request with other ciphertexts, signed by the sites that made them."""
    manifest = pool.aggregator.manifest
    roster = pool.aggregator.freezes[0].header.roster_hash
    envelopes, blobs = {}, {}
    for name, ciphertext in zip("abc", ciphertexts, strict=True):
        header = headers.upload_header(
            manifest,
            kind="query.upload",
            round=1,
            attempt=1,
            statistic=spec.digest(),
            site=name,
            roster_hash=roster,
        )
        envelopes[name] = {"gram": seal(pool.identities[name], header, ciphertext).to_json()}
        blobs[headers.forwarded_blob("gram", name)] = ciphertext
    total = BfvScheme().add(pool.steward.public_context, ciphertexts, length=2 * spec.length)
    header = {
        **decrypt.header,
        "uploads": envelopes,
        "sums": {"gram": sha256_hex(total)},
    }
    return Message(kind=decrypt.kind, header=header, blobs=blobs)


def plain_ciphertexts(pool, *vectors):
    return [
        BfvScheme().encrypt(pool.steward.public_context, split_limbs(to_words(np.array(v), 2)))
        for v in vectors
    ]


def test_a_sum_whose_masks_do_not_cancel_is_garbage_and_refused(uploaded, decrypt, spec):
    pool, _ = uploaded
    real = [decrypt.blobs[headers.forwarded_blob("gram", i)] for i in "ab"]
    zero = plain_ciphertexts(pool, [0, 0, 0, 0])
    reasons = []
    with pytest.raises(ProtocolError, match="refused"):
        answer(pool, signed_ticket(pool, decrypt, spec, real + zero), on_refusal=reasons.append)
    assert "public range" in reasons[0]


def test_the_range_is_checked_on_both_sides(uploaded, decrypt, spec):
    pool, _ = uploaded
    for extreme in (1000, -1000):
        inside = plain_ciphertexts(pool, *[[0, extreme, 0, 0]] * 3)
        answer(pool, signed_ticket(pool, decrypt, spec, inside))
        outside = [*inside[:2], *plain_ciphertexts(pool, [0, extreme + extreme // 1000, 0, 0])]
        with pytest.raises(ProtocolError, match="refused"):
            answer(pool, signed_ticket(pool, decrypt, spec, outside))


def test_limbs_beyond_what_sites_can_send_are_refused(uploaded, decrypt, spec):
    pool, _ = uploaded
    huge = np.full(8, 2**41, dtype=np.uint64)
    odd = BfvScheme().encrypt(pool.steward.public_context, huge)
    reasons = []
    with pytest.raises(ProtocolError, match="refused"):
        answer(
            pool,
            signed_ticket(pool, decrypt, spec, [odd, *plain_ciphertexts(pool, *[[0] * 4] * 2)]),
            on_refusal=reasons.append,
        )
    assert "limbs" in reasons[0]


def test_ciphertexts_under_another_key_are_refused(uploaded, decrypt, spec):
    pool, _ = uploaded
    public, _ = BfvScheme().generate_keys()
    foreign = [BfvScheme().encrypt(public, np.zeros(8, dtype=np.uint64)) for _ in range(3)]
    reasons = []
    with pytest.raises(ProtocolError, match="refused"):
        answer(pool, signed_ticket(pool, decrypt, spec, foreign), on_refusal=reasons.append)
    assert "noisy" in reasons[0]


def test_all_refusals_look_the_same_from_outside(uploaded, decrypt, spec, with_entries):
    pool, _ = uploaded
    messages = set()
    for message in (
        with_entries(decrypt, sums={"gram": "ab" * 32}),
        with_entries(decrypt, round=2),
        signed_ticket(pool, decrypt, spec, plain_ciphertexts(pool, *[[1001] * 4] * 3)),
    ):
        with pytest.raises(ProtocolError) as caught:
            answer(pool, message)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_authorising_spends_before_anything_is_decrypted(uploaded, decrypt, no_decryption):
    pool, _ = uploaded
    state, ticket = steward.authorise(pool.steward, decrypt, identity=pool.identities["steward"])
    assert state.spent == ((1, "gram"),)
    assert ticket.round == 1
    with pytest.raises(ProtocolError):
        steward.authorise(state, decrypt, identity=pool.identities["steward"])


def test_one_state_serves_one_run_with_one_key():
    identity = Identity.generate()
    state = steward.begin(name="steward")
    greeting = Message(kind="query.hello", header={"run_id": "one"})
    state, reply = steward.step(state, greeting, identity=identity)
    assert steward.step(state, greeting, identity=identity) == (state, reply)
    assert state.secret_context not in reply.blobs.values()
    assert "secret_context" not in repr(state)
    for run_id in ("two", ""):
        with pytest.raises(ProtocolError):
            steward.step(
                state, Message(kind="query.hello", header={"run_id": run_id}), identity=identity
            )
    other, _ = steward.step(steward.begin(name="steward"), greeting, identity=identity)
    assert other.secret_context != state.secret_context


def test_limits_strangers_and_closed_runs(uploaded, decrypt):
    pool, _ = uploaded
    full = replace(pool.steward, spent=tuple((9, str(i)) for i in range(steward.MAX_DECRYPTIONS)))
    wary = replace(pool.steward, trusted={"a": pool.identities["a"].public})
    for state in (full, wary, steward.close(pool.steward)):
        with pytest.raises(ProtocolError):
            answer(pool, decrypt, state)
    with pytest.raises(ProtocolError):
        answer(pool, Message(kind="query.upload"))
