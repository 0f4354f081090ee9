"""Messages changed on the way.

Every attack is refused before the library reads a byte of a foreign ciphertext or before anything
is decrypted; the aggregate stays what it was, bit for bit; the reason is in the local audit and
one and the same refusal is outside. Each defence is switched off once: the attack gets through.
"""

import random

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import from_wire, to_wire
from fedcausal_privacy.secure_sum import headers, second_steward, site
from fedcausal_privacy.secure_sum.in_process import SECOND_STEWARD

FLIPS = 500
TOTAL = [12, 30, -3, 0]
# Every module of the protocol that opens signed envelopes.
CHECKING = (
    "aggregator",
    "attempts",
    "collecting",
    "introduction",
    "passing_on",
    "roster",
    "second_steward",
    "site",
)


def believe_everything(monkeypatch, run):
    """Switch every signature, header and hash off."""
    for module in CHECKING:
        monkeypatch.setattr(
            f"fedcausal_privacy.secure_sum.{module}.open_envelope",
            lambda envelope, payload=b"", **_: envelope.header,
        )
    he_sha256 = run.pool.aggregator.agreed_manifest.he_sha256
    for module in (site, second_steward):
        monkeypatch.setattr(module, "sha256_hex", lambda _: he_sha256)


def flipped_text(message, rng, inside=""):
    """The wire form with one other bit in the JSON text, or in a part of it (it stays ASCII)."""
    text, blobs = to_wire(message)
    content = bytearray(text.encode())
    start = text.index(inside) if inside else 0
    content[start + rng.randrange(len(inside) or len(content))] ^= 1 << rng.randrange(7)
    return content.decode(), blobs


def flipped_blob(message, rng, name):
    """The wire form with one other bit in a blob."""
    text, blobs = to_wire(message)
    content = blobs[name].copy()
    content[rng.randrange(content.size)] ^= 1 << rng.randrange(8)
    return text, {**blobs, name: content}


def flips(message, signature, blob):
    return {
        "header": lambda rng: flipped_text(message, rng),
        "signature": lambda rng: flipped_text(message, rng, signature),
        "blob": lambda rng: flipped_blob(message, rng, blob),
    }


def upload_flips(run):
    reply = run.uploads[0]
    signature = reply.header["envelopes"]["gram"]["signature"]
    return flips(reply, signature, headers.ciphertext_blob("gram"))


def decrypt_flips(run):
    signature = run.decrypt.header["uploads"]["b"]["gram"]["signature"]
    return flips(run.decrypt, signature, headers.forwarded_blob("gram", "b"))


def release_flips(run):
    reply = run.release(run.decrypt)
    signature = reply.header["envelopes"]["gram"]["signature"]
    return flips(reply, signature, headers.release_blob("gram"))


def advertise_flips(run):
    invitation = run.messages[headers.ADVERTISE, "a"]
    return flips(invitation, invitation.header["steward"]["signature"], "context")


def join(run):
    """A site takes part; what it answers goes back to the aggregator."""

    def deliver(message, on_refusal):
        state = site.begin(name="a", study_hash="0" * 64)
        identity = run.pool.identities["a"]
        _, reply = site.step(state, message, identity=identity, on_refusal=on_refusal)
        run.receive((headers.ADVERTISE, "a"), reply, on_refusal)

    return deliver


def padded_upload_flips(run):
    reply = run.uploads[0]
    return flips(reply, reply.header["seeds"]["gram"]["signature"], headers.seed_blob("gram"))


def pads_flips(run):
    request = run.messages[headers.PADS, SECOND_STEWARD]
    signature = request.header["seeds"]["gram"]["b"]["signature"]
    return flips(request, signature, headers.forwarded_seed_blob("gram", "b"))


def decrypt_with_pads_flips(run):
    signature = run.decrypt.header["pads"]["gram"]["signature"]
    return flips(run.decrypt, signature, headers.pads_blob("gram"))


RECEIVERS = {
    "upload to the aggregator": (
        upload_flips,
        lambda run: lambda m, on_refusal: run.combine([m, *run.uploads[1:]], on_refusal),
    ),
    "request to the steward": (decrypt_flips, lambda run: run.released),
    "release to the aggregator": (release_flips, lambda run: run.read),
    "invitation to a site": (advertise_flips, join),
}
TWO_STEWARD_RECEIVERS = {
    "padded upload to the aggregator": (
        padded_upload_flips,
        lambda run: lambda m, on_refusal: run.combine([m, *run.uploads[1:]], on_refusal),
    ),
    "request to the second steward": (pads_flips, lambda run: run.pads),
    "request with pads to the steward": (decrypt_with_pads_flips, lambda run: run.released),
    "invitation to a site, two-steward": (advertise_flips, join),
}


def refusals(count, change, deliver):
    """Deliver changed messages; how many were refused, and how many of these with a reason."""
    refused = explained = 0
    rng = random.Random(0)
    for _ in range(count):
        reasons = []
        try:
            deliver(from_wire(*change(rng)), reasons.append)
        except ProtocolError as error:
            refused += 1
            # What cannot be parsed is its own reason; the adapter puts it into the audit.
            explained += bool(reasons) or "was refused" not in str(error)
    return refused, explained


@pytest.mark.parametrize("part", ["header", "signature", "blob"])
@pytest.mark.parametrize("receiver", RECEIVERS)
def test_a_flipped_bit_is_refused_before_decryption_and_the_sum_stays(
    run, receiver, part, library_reads, decryptions
):
    make_flips, make_delivery = RECEIVERS[receiver]
    change = make_flips(run)[part]
    del library_reads[:], decryptions[:]
    assert refusals(FLIPS, change, make_delivery(run)) == (FLIPS, FLIPS)
    assert decryptions == []
    assert set(library_reads) <= run.signed_chunks()
    assert run.combine(run.uploads) == run.decrypt
    assert run.released(run.decrypt) == TOTAL


@pytest.mark.parametrize("part", ["header", "signature", "blob"])
@pytest.mark.parametrize("receiver", TWO_STEWARD_RECEIVERS)
def test_a_flipped_bit_is_refused_in_two_steward_mode(
    padded_run, receiver, part, library_reads, decryptions
):
    make_flips, make_delivery = TWO_STEWARD_RECEIVERS[receiver]
    change = make_flips(padded_run)[part]
    del library_reads[:], decryptions[:]
    assert refusals(FLIPS, change, make_delivery(padded_run)) == (FLIPS, FLIPS)
    assert decryptions == []
    assert set(library_reads) <= padded_run.signed_chunks()
    assert (
        padded_run.combine(padded_run.uploads) == padded_run.messages[headers.PADS, SECOND_STEWARD]
    )
    assert padded_run.released(padded_run.decrypt) == TOTAL


@pytest.mark.parametrize("receiver", TWO_STEWARD_RECEIVERS)
def test_mutant_without_signatures_takes_flipped_bits_in_two_steward_mode(
    padded_run, monkeypatch, receiver
):
    make_flips, make_delivery = TWO_STEWARD_RECEIVERS[receiver]
    change = make_flips(padded_run)["signature"]
    believe_everything(monkeypatch, padded_run)
    refused, _ = refusals(40, change, make_delivery(padded_run))
    assert refused < 40


@pytest.mark.parametrize("part", ["header", "signature", "blob"])
@pytest.mark.parametrize("receiver", RECEIVERS)
def test_mutant_without_signatures_takes_flipped_bits(
    run, monkeypatch, library_reads, receiver, part
):
    make_flips, make_delivery = RECEIVERS[receiver]
    change = make_flips(run)[part]
    believe_everything(monkeypatch, run)
    refused, _ = refusals(40, change, make_delivery(run))
    assert refused < 40 or not set(library_reads) <= run.signed_chunks()
