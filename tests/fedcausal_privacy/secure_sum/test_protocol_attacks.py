"""Attacks by replays and rosters: each fails, and each succeeds once its defence is off.

Every case is a pair. First the attack runs against the protocol as it is and is refused, with the
state unchanged and the reason in the audit. Then the one check that stops it is patched away, and
the same attack goes through: so it is that check, and no accident, that stops it.
"""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import (
    aggregator,
    attempts,
    collecting,
    headers,
    site,
    steward,
)
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.manifest import MAX_SITES, Manifest, Party
from fedcausal_privacy.secure_sum.pending import PendingSum
from tests.fedcausal_privacy.secure_sum.attack_steps import (
    at_site,
    at_steward,
    play,
    play_round,
    refused,
    trusting_header,
)

# Replays.


@pytest.fixture(scope="module")
def later(recorded, contributions, recording):
    """The round after `recorded`, before the steward decrypts it."""
    return recording(recorded.before["end", ""], contributions)


def test_a_replay_from_another_round_is_refused(recorded, later, with_entries, monkeypatch):
    """An old upload of site a in the place of its new one, the old ciphertext with it."""
    old = recorded.decrypt
    uploads = {**later.decrypt.header["uploads"], "a": old.header["uploads"]["a"]}
    blob = headers.forwarded_blob("gram", "a")
    attack = with_entries(later.decrypt, {blob: old.blobs[blob]}, uploads=uploads)
    refused(at_steward(later.pool, attack), "differs in round")
    monkeypatch.setattr(collecting, "open_envelope", trusting_header)
    _, pending = collected_by(later.pool, attack)
    assert pending.entries["gram"][0][0] == "a"


def collected_by(pool, message):
    manifest = Manifest.from_json(message.header["manifest"])
    return steward._with_uploads(pool.steward, message, manifest, lambda _: None)


def test_a_replay_from_another_run_or_attempt_is_refused(
    recorded, retried, contributions, with_entries, monkeypatch, recording
):
    other = recording(SecureSum.open(tuple(contributions), run_id="other"), contributions)
    pool, decrypt, replies = retried
    first = next(r for who, r in replies if who == "a" and r.kind == "query.upload")
    assert Envelope.from_json(first.header["envelopes"]["gram"]).header.attempt == 1
    cases = [
        (recorded.pool, recorded.decrypt, other.replies["query.upload", "a"]),
        (pool, decrypt, first),
    ]
    for place, message, old in cases:
        uploads = {**message.header["uploads"], "a": old.header["envelopes"]}
        blob = {headers.forwarded_blob("gram", "a"): old.blobs["ciphertext/gram"]}
        attack = with_entries(message, blob, uploads=uploads)
        refused(at_steward(place, attack), "'a'")
        with monkeypatch.context() as patch:
            patch.setattr(collecting, "open_envelope", lambda envelope, *_, **__: envelope.header)
            collected_by(place, attack)


def test_a_doubled_or_swapped_site_is_refused(recorded, with_entries, monkeypatch):
    uploads = recorded.decrypt.header["uploads"]
    blobs = {
        headers.forwarded_blob("gram", "a"): recorded.decrypt.blobs[
            headers.forwarded_blob("gram", "b")
        ]
    }
    attack = with_entries(recorded.decrypt, blobs, uploads={**uploads, "a": uploads["b"]})
    refused(at_steward(recorded.pool, attack), "signature of 'a'")
    monkeypatch.setattr(collecting, "open_envelope", lambda envelope, *_, **__: envelope.header)
    _, pending = collected_by(recorded.pool, attack)
    assert pending.entries["gram"][0][1] == pending.entries["gram"][1][1]


def test_an_upload_that_comes_twice_counts_once(recorded, monkeypatch):
    """The same batch again, after a crash: with the counts off, a site would be in it twice."""
    state, _ = collect_in(recorded.pool, recorded.decrypt)
    pool = replace(recorded.pool, steward=state)
    again, _ = collect_in(pool, recorded.decrypt)
    assert again.pending == state.pending
    refused(at_steward(pool, recorded.decrypt), "twice in one sum")
    monkeypatch.setattr(PendingSum, "sites", property(lambda self: ()))
    monkeypatch.setattr(PendingSum, "holds", lambda self, uploads: False)
    state, _ = collect_in(pool, recorded.decrypt)
    assert len(state.pending.entries["gram"]) == 6


def collect_in(pool, decrypt):
    message = replace(decrypt, kind="query.collect", header={**decrypt.header, "batch": 1})
    return at_steward(pool, message)()


# Rosters.


def test_a_roster_shown_differently_to_two_sites_is_found_before_any_value_leaves(
    contributions, monkeypatch
):
    """b is shown another key for a: its signature is of another roster, and a refuses it."""
    pool = SecureSum.begin(tuple(contributions), run_id="split")
    state, posts = aggregator.open(pool.aggregator)
    frozen, _, _ = play(replace(pool, aggregator=state), posts, {}, stop="query.freeze")
    manifest, honest = frozen.aggregator.manifest, frozen.aggregator.roster
    other_key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    forged_roster = replace(honest, keys=(other_key, *honest.keys[1:]))
    header = headers.freeze_header(
        manifest, attempt=1, site="b", roster_hash=forged_roster.digest(manifest)
    )
    signed_by_b = seal(frozen.identities["b"], header)
    freezes = [
        seal(
            frozen.identities[name],
            headers.freeze_header(
                manifest, attempt=1, site=name, roster_hash=honest.digest(manifest)
            ),
        )
        for name in "ac"
    ]
    spec = contributions["a"]["gram"][0]
    request = Message(
        kind="query.upload",
        header={
            "run_id": "split",
            "round": 1,
            "attempt": 1,
            "statistics": {"gram": spec.digest()},
            "freezes": [e.to_json() for e in (freezes[0], signed_by_b, freezes[1])],
        },
    )
    at_a = replace(frozen.sites["a"], roster=honest)
    pool = replace(frozen, sites={**frozen.sites, "a": at_a})
    refused(at_site(pool, "a", request, contributions["a"]), "differs in roster_hash")
    monkeypatch.setattr(site, "check_freezes", lambda *_, **__: None)
    _, reply = at_site(pool, "a", request, contributions["a"])()
    assert reply.blobs


def test_a_second_roster_in_one_attempt_is_refused(opening, monkeypatch):
    """The coordinator exchanges b's key after a has signed: a would mask for another roster."""
    pool = opening.before["end", ""]
    manifest = pool.aggregator.manifest
    sent = opening.messages["query.freeze", "a"]
    key = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    other = seal(
        pool.identities["b"], headers.advertise_header(manifest, attempt=1, site="b", key=key)
    )
    first, _, third = sent.header["advertisements"]
    attack = replace(
        sent, header={**sent.header, "advertisements": [first, other.to_json(), third]}
    )
    refused(at_site(pool, "a", attack), "second roster in the same attempt")
    # The same state without the memory of the first roster is what the check stands on.
    forgetful = replace(pool.sites["a"], roster=None)
    state, _ = at_site(replace(pool, sites={**pool.sites, "a": forgetful}), "a", attack)()
    assert state.roster.keys[1].hex() == key


def test_the_rule_on_atoms_holds_at_steward_and_sites(recorded, spec, monkeypatch):
    """{1,2,3}, {4,5,6} and then {1,...,7} would show site 7."""
    names = tuple("1234567")
    earlier = tuple(dict.fromkeys(group, "") for group in ("123", "456"))
    given = {n: {"gram": (spec, np.full(4, i))} for i, n in enumerate(names)}
    pool = SecureSum.open(names, run_id="atoms")
    before, decrypt, _ = play_round(pool, given, spec, stop="query.decrypt")
    wary = replace(before, steward=replace(before.steward, known=earlier))
    refused(at_steward(wary, decrypt), "fewer than 3 sites")
    remembering = replace(pool.sites["1"], known=earlier)
    freeze = replace(pool, sites={**pool.sites, "1": remembering})
    _, posts = aggregator.ask(pool.aggregator, specs=[spec])
    request = posts[0].message
    refused(at_site(freeze, "1", request, given["1"]), "fewer than 3 sites")
    monkeypatch.setattr(steward, "check_atoms", lambda *_, **__: None)
    monkeypatch.setattr(attempts, "check_atoms", lambda *_, **__: None)
    assert at_steward(wary, decrypt)()[1].blobs
    assert at_site(freeze, "1", request, given["1"])()[1].blobs


def test_more_than_a_thousand_sites_are_refused(monkeypatch):
    """1000 summands leave 6 bits of noise budget; a wrong decryption would leak."""

    def manifest():
        return Manifest(
            run_id="many",
            study_hash="1" * 64,
            roster=tuple(
                Party(name=f"{i:04d}", identity=sha256_hex(bytes([i // 256, i % 256])))
                for i in range(1001)
            ),
            steward=Party(name="steward", identity="d" * 64),
            he_sha256="2" * 64,
        )

    with pytest.raises(ProtocolError, match="number of sites <= 1000"):
        manifest()
    monkeypatch.setitem(MAX_SITES, "masked", 2000)
    assert len(manifest().roster) == 1001
