"""Attacks on one-time pads (two-steward mode): each fails, and each succeeds undefended.

Every case is a pair. First the attack runs against the protocol as it is and is refused, with the
state unchanged and the reason in the audit. Then the one check that stops it is patched away, and
the same attack goes through: so it is that check, and no accident, that stops it.
"""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from scipy.stats import chi2

from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import (
    aggregator,
    collecting,
    contribution,
    headers,
    passing_on,
    second_steward,
    steward,
)
from fedcausal_privacy.secure_sum.in_process import SECOND_STEWARD, SecureSum
from fedcausal_privacy.secure_sum.masks import mask_words
from fedcausal_privacy.secure_sum.pads import PadContext, open_seed, seal_seed
from tests.fedcausal_privacy.secure_sum.attack_steps import (
    at_second,
    at_site,
    at_steward,
    play_round,
    refused,
    trusting_header,
)


def test_a_pad_is_never_used_twice(padded, contributions, monkeypatch):
    """The same vector twice under one pad would show that nothing changed, and more."""
    pool, spec = padded, contributions["a"]["gram"][0]

    def hidden_words(round):
        _, posts = aggregator.ask(replace(pool.aggregator, round=round - 1), specs=[spec])
        _, reply = at_site(pool, "a", posts[0].message, contributions["a"])()
        scheme = steward.BfvScheme()
        return scheme.decrypt(
            pool.steward.secret_context, reply.blobs["ciphertext/gram"], length=8
        )

    assert (hidden_words(1) != hidden_words(2)).all()
    monkeypatch.setattr(contribution, "fresh_seed", lambda: bytes(32))
    assert (hidden_words(1) == hidden_words(2)).all()


def test_a_statistic_is_padded_and_uploaded_once(padded, recorded_pads, contributions):
    request = recorded_pads.messages["query.upload", "a"]
    state, _ = at_site(padded, "a", request, contributions["a"])()
    again = replace(padded, sites={**padded.sites, "a": state})
    refused(at_site(again, "a", request, contributions["a"]), "uploaded before")
    forgetful = replace(padded, sites={**padded.sites, "a": replace(state, uploaded=())})
    assert at_site(forgetful, "a", request, contributions["a"])()[1].blobs


def test_a_seed_sealed_to_the_wrong_steward_or_for_something_else_stays_shut(
    recorded_pads, with_entries, monkeypatch
):
    pool, message = (
        recorded_pads.before["query.pads", SECOND_STEWARD],
        recorded_pads.messages["query.pads", SECOND_STEWARD],
    )
    manifest, name = pool.aggregator.manifest, headers.forwarded_seed_blob("gram", "a")
    spec = pool.aggregator.pending.specs[0]
    context = PadContext(
        run_id="run",
        manifest=manifest.digest(),
        kind="query.upload",
        round=1,
        statistic=spec.digest(),
        site="a",
    )
    stranger = X25519PrivateKey.generate()
    own = bytes.fromhex(manifest.pad_key)
    wrong_key = seal_seed(bytes(32), stranger.public_key().public_bytes_raw(), context)
    wrong_use = seal_seed(bytes(32), own, replace(context, round=2))
    for sealed in (wrong_key, wrong_use):
        signed = resigned(pool, message, sealed)
        attack = with_entries(message, {name: sealed}, seeds=signed)
        refused(at_second(pool, attack), "does not open")
    with pytest.raises(ProtocolError):
        open_seed(wrong_key[:-1], stranger, context)
    monkeypatch.setattr(second_steward, "open_seed", lambda *_: bytes(32))
    assert at_second(pool, attack)()[1].blobs


def resigned(pool, message, sealed):
    """Site a signs another sealed seed for the same upload."""
    seeds = {n: dict(entries) for n, entries in message.header["seeds"].items()}
    header = Envelope.from_json(seeds["gram"]["a"]).header
    seeds["gram"]["a"] = seal(pool.identities["a"], header, sealed).to_json()
    return seeds


def test_the_second_steward_acts_for_one_roster(contributions, spec, monkeypatch):
    """Pads of {a,b,c,d} and of {a,b,c} would show d; one of them is all there is."""
    names = ("a", "b", "c", "d")
    given = dict.fromkeys(names, contributions["a"])
    pool = SecureSum.open(names, run_id="pads", mode="two-steward")
    pool, message, _ = play_round(pool, given, spec, stop="query.pads")
    fewer = replace(message, header={**message.header, "sites": ["a", "b", "c"]})
    state, _ = at_second(pool, message)()
    spent = replace(pool, second_steward=state)
    for again in (message, fewer):
        refused(at_second(spent, again), "added before")
    forgetful = replace(pool, second_steward=replace(state, spent=()))
    refused(at_second(forgetful, fewer), "fewer than 3 sites")
    monkeypatch.setattr(second_steward, "check_atoms", lambda *_, **__: None)
    assert at_second(forgetful, fewer)()[1].blobs


def test_the_steward_decrypts_for_the_roster_of_the_pads_only(contributions, spec, monkeypatch):
    """Uploads of four sites with the pads of three: padded noise, and refused as such."""
    names = ("a", "b", "c", "d")
    given = dict.fromkeys(names, contributions["a"])
    pool = SecureSum.open(names, run_id="pads", mode="two-steward")
    pool, message, _ = play_round(pool, given, spec, stop="query.pads")
    fewer = replace(message, header={**message.header, "sites": ["a", "b", "c"]})
    _, pads = at_second(pool, fewer)()
    _, attack = passing_on.decrypt_request(pool.aggregator, pads)
    refused(at_steward(pool, attack), "differs in roster_hash")
    monkeypatch.setattr(collecting, "open_envelope", trusting_header)
    refused(at_steward(pool, attack), "public range")


def test_a_seed_and_a_ciphertext_of_two_uploads_are_never_combined(
    padded, recorded_pads, contributions, with_entries, monkeypatch
):
    """A site restored from a backup signs twice: half of one and half of the other is refused."""
    request = recorded_pads.messages["query.upload", "a"]
    _, first = at_site(padded, "a", request, contributions["a"])()
    _, second = at_site(padded, "a", request, contributions["a"])()
    mixed = with_entries(
        first, {"seed/gram": second.blobs["seed/gram"]}, seeds=second.header["seeds"]
    )
    state = recorded_pads.before["query.upload", "a"].aggregator
    refused(lambda note: aggregator.receive(state, "a", mixed, on_refusal=note), "differs in key")
    monkeypatch.setattr(passing_on, "_check_seed", lambda *_: None)
    assert "a" in aggregator.receive(state, "a", mixed)[0].seeds


def test_a_padded_vector_is_uniform_without_its_seed():
    """Null hypothesis: the words' highest bytes are uniform. One value, 40,000 times; 1e-9."""

    def p_value(words):
        counts = np.bincount((words >> np.uint64(56)).astype(int), minlength=256)
        expected = words.size / 256
        return chi2.sf(((counts - expected) ** 2 / expected).sum(), 255)

    words = np.full(40_000, 7, dtype=np.uint64)
    assert p_value(words) < 1e-9
    mask_words(words, np.random.default_rng(0).bytes(32), 1)
    assert p_value(words) > 1e-9
