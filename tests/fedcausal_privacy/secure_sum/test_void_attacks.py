"""Attacks with void tokens and second decryptions: each fails, and each succeeds undefended.

Every case is a pair. First the attack runs against the protocol as it is and is refused, with the
state unchanged and the reason in the audit. Then the one check that stops it is patched away, and
the same attack goes through: so it is that check, and no accident, that stops it.
"""

from dataclasses import replace

import pytest

from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import (
    aggregator,
    attempts,
    headers,
    steward,
)
from fedcausal_privacy.secure_sum.in_process import STEWARD
from tests.fedcausal_privacy.secure_sum.attack_steps import (
    at_site,
    at_steward,
    play,
    refused,
)


def void_request(pool, attempt=1, round=1):
    state = pool.aggregator
    return Message(
        kind="query.void",
        header={
            "run_id": state.run_id,
            "manifest": state.manifest.to_json(),
            "attempt": attempt,
            "round": round,
            "advertisements": [envelope.to_json() for envelope in state.advertisements],
        },
    )


def test_a_forged_void_token_is_refused(agreed, opening, monkeypatch):
    """Without the check, a coordinator alone would start attempts at will."""
    pool = opening.before["end", ""]
    state = pool.aggregator
    header = headers.void_header(
        state.manifest,
        attempt=1,
        roster_hash=state.roster.digest(state.manifest),
        last_released=0,
        is_released=False,
    )
    sent = opening.messages["query.advertise", "a"]

    def again(token):
        return replace(sent, header={**sent.header, "attempt": 2, "void": token.to_json()})

    forged = again(seal(Identity.generate(), header))
    refused(at_site(pool, "a", forged), "signature of 'steward'")
    genuine = pool.identities[STEWARD]
    other_roster = replace(header, roster_hash="ab" * 32)
    refused(at_site(pool, "a", again(seal(genuine, other_roster))), "differs in roster_hash")
    old = replace(header, attempt=0)
    refused(at_site(pool, "a", again(seal(genuine, old))), "differs in attempt")
    far = replace(forged, header={**forged.header, "attempt": 4})
    refused(at_site(pool, "a", far), "one too many")
    after, _ = at_site(pool, "a", again(seal(genuine, header)))()
    assert after.ephemeral_key not in (b"", pool.sites["a"].ephemeral_key)
    assert (after.attempt, after.roster) == (2, None)
    monkeypatch.setattr(attempts, "open_envelope", lambda *_, **__: None)
    assert at_site(pool, "a", forged)()[0].attempt == 2


def test_nothing_is_decrypted_after_its_void_token(recorded, with_entries, monkeypatch):
    """Void, then decrypt after all: two totals over rosters of which one has one site less."""
    pool = recorded.pool
    state, _ = at_steward(pool, void_request(pool))()
    voided = replace(pool, steward=state)
    refused(at_steward(voided, recorded.decrypt), "attempt that is void")
    claims_next = with_entries(recorded.decrypt, attempt=2)
    refused(at_steward(voided, claims_next), "another attempt")
    monkeypatch.setattr(
        steward.StewardState, "attempt", property(lambda self: 1, lambda self, _: None)
    )
    _, reply = at_steward(voided, recorded.decrypt)()
    assert reply.blobs


def test_what_was_decrypted_cannot_be_void(recorded, monkeypatch):
    """Decrypt, then void and retry without one site: the difference is that site's value."""
    state, _ = at_steward(recorded.pool, recorded.decrypt)()
    pool = replace(recorded.pool, steward=state)
    refused(at_steward(pool, void_request(pool)), "was decrypted")
    refused(at_steward(recorded.pool, void_request(recorded.pool, attempt=2)), "not the present")
    forgetful = replace(pool, steward=replace(state, spent=()))
    assert at_steward(forgetful, void_request(pool))()[0].attempt == 2


def retry_without_c(pool, given):
    """c is missing: the steward voids the attempt, everybody joins the next; its first upload."""
    state, posts = aggregator.expire(replace(pool.aggregator, waiting=("c",)))
    return play(replace(pool, aggregator=state), posts, given, stop="query.upload")


@pytest.fixture(scope="module")
def twice_void(agreed, contributions, spec):
    """Round 1 is out; round 2 lost c twice: (run in the third attempt, the request to upload)."""
    pool, _ = agreed.sum(contributions)
    state, posts = aggregator.ask(pool.aggregator, specs=[spec])
    pool = replace(pool, aggregator=state)
    for post in posts[:2]:
        pool, reply = pool.deliver(post, contributions)
        state, _ = aggregator.receive(pool.aggregator, post.recipient, reply)
        pool = replace(pool, aggregator=state)
    pool, _, _ = retry_without_c(pool, contributions)
    return retry_without_c(pool, contributions)


def test_two_void_attempts_after_a_release_keep_its_marks(twice_void, contributions, with_entries):
    """Dropped, a site would upload a released round once more: new noise for an old number."""
    pool, upload, _ = twice_void
    assert upload.header["attempt"] == 3
    assert pool.sites["a"].uploaded == ((1, "gram"),)
    released = with_entries(upload, round=1)
    refused(at_site(pool, "a", released, contributions["a"]), "uploaded before")
    after, _ = at_site(pool, "a", upload, contributions["a"])()
    assert after.uploaded == ((1, "gram"), (2, "gram"))


def test_a_site_that_missed_an_attempt_keeps_the_marks_of_what_is_out(twice_void, contributions):
    """c, asleep since round 1, comes back with the token of an attempt that released nothing."""
    pool, _, _ = twice_void
    asleep = replace(pool.sites["c"], attempt=1, uploaded=((1, "gram"),))
    invitation = Message(
        kind="query.advertise",
        header={
            "run_id": "run",
            "attempt": 3,
            "manifest": pool.aggregator.manifest.to_json(),
            "void": pool.aggregator.void.to_json(),
        },
        blobs={"context": pool.aggregator.public_context},
    )
    woken = replace(pool, sites={**pool.sites, "c": asleep})
    assert at_site(woken, "c", invitation)()[0].uploaded == ((1, "gram"),)


def test_the_steward_voids_only_a_roster_that_it_is_shown(agreed, with_entries):
    """Told a hash, it would sign away rosters that never were."""
    request = void_request(agreed)
    one, two, three = request.header["advertisements"]
    for shown, reason in (
        ([], "fewer sites"),
        ([one, two], "fewer sites"),
        ([one, two, flipped(three)], "does not verify"),
        ([two, one, three], "roster order"),
    ):
        refused(at_steward(agreed, with_entries(request, advertisements=shown)), reason)
    refused(at_steward(agreed, with_entries(request, attempt=2)), "not the present")
    _, reply = at_steward(agreed, request)()
    roster = agreed.aggregator.roster.digest(agreed.aggregator.manifest)
    assert Envelope.from_json(reply.header["envelope"]).header.roster_hash == roster


def flipped(envelope):
    sealed = Envelope.from_json(envelope)
    broken = bytes([sealed.signature[0] ^ 1]) + sealed.signature[1:]
    return replace(sealed, signature=broken).to_json()


def test_rounds_that_are_decrypted_out_of_order_stay_marked(recorded, monkeypatch):
    """The token names the newest round that is out, not the one that was asked for last."""
    state = replace(recorded.pool.steward, spent=((5, "gram"), (3, "gram")))
    pool = replace(recorded.pool, steward=state)
    _, reply = at_steward(pool, void_request(pool, round=6))()
    assert Envelope.from_json(reply.header["envelope"]).header.round == 5


def test_the_steward_is_asked_twice(recorded, monkeypatch):
    state, _ = at_steward(recorded.pool, recorded.decrypt)()
    pool = replace(recorded.pool, steward=state)
    refused(at_steward(pool, recorded.decrypt), "decrypted before")
    forgetful = replace(pool, steward=replace(state, spent=()))
    assert at_steward(forgetful, recorded.decrypt)()[1].blobs


def test_sites_leave_a_void_attempt_with_fresh_keys_and_forget_its_roster(retried):
    pool, _, replies = retried
    keys = [
        Envelope.from_json(reply.header["envelope"]).header.key
        for who, reply in replies
        if who == "a" and reply.kind == "query.advertise"
    ]
    assert (pool.aggregator.attempt, pool.aggregator.members) == (2, ("a", "b", "c"))
    assert len(set(keys)) == len(keys) == 1
    for name in "abc":
        own = pool.sites[name]
        assert own.attempt == 2
        assert [(e.attempt, set(e.members)) for e in own.released] == [(2, {"a", "b", "c"})]
