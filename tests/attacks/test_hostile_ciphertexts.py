"""Ciphertexts and parameters that no honest party makes, signed by who made them.

Every attack is refused before anything is decrypted; the total stays what it was, bit for bit; the
reason is in the local audit and one and the same refusal is outside. Each defence is switched off
once: the attack gets through.
"""

import struct
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import tenseal

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import from_wire, to_wire
from fedcausal_privacy.secure_sum import bfv, headers, site, steward
from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, BfvScheme
from fedcausal_privacy.secure_sum.in_process import STEWARD
from tests.attacks.uniformity import SEAL_HEADER

SCHEME = BfvScheme()
TOTAL = [12, 30, -3, 0]


def transparent():
    """A ciphertext of two zero polynomials: no encryption, and the library would add it."""
    public, _ = SCHEME.generate_keys()
    content = bfv._unframe(SCHEME.encrypt(public, np.arange(8, dtype=np.uint64)), 1)[0]
    start = content.index(SEAL_HEADER)
    stream = pa.BufferReader(content[start + 16 :])
    body = bytearray(pa.CompressedInputStream(stream, "zstd").read())
    body[-16 * NUM_SLOTS :] = bytes(16 * NUM_SLOTS)
    header = SEAL_HEADER[:5] + bytes(3) + struct.pack("<Q", 16 + len(body))  # not compressed
    sealed = header + bytes(body)
    field = bytes([0x12, len(sealed) & 127 | 128, len(sealed) >> 7 & 127 | 128, len(sealed) >> 14])
    return bfv._frame([content[: start - 4] + field + sealed])


def test_the_hand_made_ciphertext_is_well_formed_but_transparent(run):
    public = run.pool.aggregator.public_context
    (chunk,) = bfv._unframe(transparent(), 1)
    vector = tenseal.bfv_vector_from(bfv.parse_public(public), chunk)
    assert vector.size() == 8
    assert vector.ciphertext()[0].is_transparent()


def self_added(run):
    """The site's own ciphertext, added to itself 2^12 times."""
    context = bfv.parse_public(run.pool.aggregator.public_context)
    vector = tenseal.bfv_vector_from(context, bfv._unframe(run.ciphertexts()[0], 1)[0])
    for _ in range(12):
        vector = vector + vector
    return bfv._frame([vector.serialize()])


def under_another_key(_):
    public, _ = SCHEME.generate_keys()
    return SCHEME.encrypt(public, np.arange(8, dtype=np.uint64))


def oversized(run):
    (chunk,) = bfv._unframe(run.ciphertexts()[0], 1)
    return bfv._frame([chunk + b"\x7a\xf0\xff\x01" + bytes(32752)])


# What a hostile site signs with its own key; the words that the steward's audit must hold.
SIGNED = {
    "truncated": (lambda run: run.ciphertexts()[0][:-1], "framing"),
    "cut short": (lambda run: run.ciphertexts()[0][:1000], "framing"),
    "empty": (lambda run: b"", "framing"),
    "oversized": (oversized, "larger than"),
    "transparent": (lambda run: transparent(), "fresh ciphertexts"),
    "added to itself 2^12 times": (self_added, "too noisy"),
    "under another key": (under_another_key, "too noisy"),
}


def signed_attack(run, name):
    make, reason = SIGNED[name]
    ciphertexts = [make(run), *run.ciphertexts()[1:]]
    try:
        total = run.sum(ciphertexts)
    except ProtocolError:
        total = b""
    return run.signed_by_sites(ciphertexts, total), reason


@pytest.mark.parametrize("name", SIGNED)
def test_what_a_hostile_site_signs_is_refused_before_decryption(run, decryptions, name):
    message, expected = signed_attack(run, name)
    reasons = []
    with pytest.raises(ProtocolError, match="was refused; nothing was revealed"):
        run.released(message, reasons.append)
    assert expected in reasons[-1]
    assert decryptions == []
    assert run.released(run.decrypt) == TOTAL


@pytest.mark.parametrize("name", ["added to itself 2^12 times", "under another key"])
def test_mutant_without_the_noise_budget_decrypts_garbage(run, monkeypatch, decryptions, name):
    message, _ = signed_attack(run, name)
    monkeypatch.setattr(steward, "MIN_NOISE_BUDGET_BITS", -1)
    with pytest.raises(ProtocolError):
        run.released(message)
    assert decryptions == [1]


def test_mutant_without_the_size_limit_shows_the_library_foreign_bytes(
    run, monkeypatch, library_reads
):
    message, _ = signed_attack(run, "oversized")
    monkeypatch.setattr(bfv, "_MAX_CHUNK_BYTES", 10**9)
    del library_reads[:]
    with pytest.raises(ProtocolError):
        run.released(message)
    assert max(map(len, library_reads)) > 80_000


def test_mutant_that_takes_transparent_ciphertexts_adds_plain_numbers(
    run, monkeypatch, decryptions
):
    monkeypatch.setattr(bfv, "_load_chunk", lambda c, chunk, _: tenseal.bfv_vector_from(c, chunk))
    message, _ = signed_attack(run, "transparent")
    with pytest.raises(ProtocolError):
        run.released(message)
    assert decryptions == [1]


@pytest.mark.parametrize(
    ("degree", "modulus", "bits"),
    [
        (4096, 1032193, [60, 49]),
        (4096, bfv.PLAIN_MODULUS, [36, 36, 37]),
        (8192, bfv.PLAIN_MODULUS, [60, 49]),
    ],
)
def test_other_parameters_are_refused_by_sites_though_the_steward_signed_them(
    run, monkeypatch, degree, modulus, bits
):
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV, degree, plain_modulus=modulus, coeff_mod_bit_sizes=bits
    )
    invitation = steward_signed(run, bfv._context_bytes(context, secret=False))
    state, identity = site.begin(name="a", study_hash="0" * 64), run.pool.identities["a"]
    reasons = []
    with pytest.raises(ProtocolError, match="was refused"):
        site.step(state, invitation, identity=identity, on_refusal=reasons.append)
    assert "allow-list" in reasons[-1]
    monkeypatch.setattr(site, "parse_public", lambda _: None)
    state, _ = site.step(state, invitation, identity=identity)
    assert state.ephemeral_key


def steward_signed(run, context):
    """An invitation with another context that steward and aggregator agree on."""
    manifest = replace(run.pool.aggregator.agreed_manifest, he_sha256=sha256_hex(context))
    header = headers.hello_header(
        run_id="run",
        sender=manifest.steward.name,
        identity=manifest.steward.identity,
        he_sha256=manifest.he_sha256,
    )
    changed = {
        "manifest": manifest.to_json(),
        "steward": seal(run.pool.identities[STEWARD], header, context).to_json(),
    }
    invitation = run.messages[headers.ADVERTISE, "a"]
    return replace(
        invitation,
        header={**invitation.header, **changed},
        blobs={"context": context},
    )


def test_a_node_refuses_in_one_form_and_its_audit_says_why(node_run, decryptions):
    text, blobs = to_wire(node_run.decrypt)
    signature = node_run.decrypt.header["uploads"]["b"]["gram"]["signature"]
    flipped = text.replace(signature, signature[:-1] + ("0" if signature[-1] != "0" else "1"))
    attacks = {
        "signature": from_wire(flipped, blobs),
        "differs in round": replace(
            node_run.decrypt, header={**node_run.decrypt.header, "round": 2}
        ),
        "framing": signed_attack(node_run, "truncated")[0],
    }
    replies = set()
    for expected, message in attacks.items():
        before = len(node_run.audit())
        replies.add(str(to_wire(node_run.ask_node(message))))
        assert expected in str(node_run.audit()[before:])
    assert len(replies) == 1
    assert decryptions == []


def test_a_node_decrypts_after_refusals_what_it_would_have_decrypted_before(node_run):
    message = replace(node_run.decrypt, header={**node_run.decrypt.header, "round": 2})
    assert "release/gram" not in node_run.ask_node(message).blobs
    assert node_run.read(node_run.ask_node(node_run.decrypt)) == TOTAL
