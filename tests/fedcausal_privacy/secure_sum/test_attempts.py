"""A site's memory of rosters, and how it leaves an attempt."""

from dataclasses import replace

import pytest

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.envelopes import ignore, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers
from fedcausal_privacy.secure_sum.attempts import (
    check_roster,
    forget_void,
    learnt,
    next_attempt,
    with_released,
)


@pytest.fixture
def state(agreed):
    """Site a after its uploads of rounds 1 and 2 in the first attempt."""
    state = replace(agreed.sites["a"], uploaded=((1, "x"), (2, "x"), (2, "y")))
    return with_released(state, state.manifest, "abc")


def token(pool, last_released):
    manifest, roster = pool.aggregator.manifest, pool.aggregator.roster
    header = headers.void_header(
        manifest,
        attempt=1,
        roster_hash=roster.digest(manifest),
        last_released=last_released,
        is_released=last_released > 0,
    )
    return Message(
        kind="query.advertise", header={"void": seal(pool.identities["steward"], header).to_json()}
    )


def leave(pool, state, last_released):
    message = token(pool, last_released)
    return next_attempt(state, pool.aggregator.manifest, message, 2, ignore)


def test_a_roster_over_which_nothing_was_released_is_forgotten_with_its_keys(agreed, state):
    after = leave(agreed, state, 0)
    assert (after.attempt, after.ephemeral_key, after.roster) == (2, b"", None)
    assert (after.is_confirmed, after.released) == (False, ())
    assert after.uploaded == ((1, "x"),)


@pytest.mark.parametrize(("last", "uploaded"), [(1, 1), (2, 3)])
def test_a_released_roster_stays_and_only_the_open_round_is_asked_again(
    agreed, state, last, uploaded
):
    after = leave(agreed, state, last)
    assert after.released == state.released
    assert len(after.uploaded) == uploaded
    with pytest.raises(ProtocolError):
        check_roster(after, after.manifest, "ab", ignore)
    check_roster(after, after.manifest, "abc", ignore)


def test_attempts_go_forward_only_and_not_past_the_limit(agreed, state):
    message = token(agreed, 0)
    for attempt in (0, 1, headers.MAX_ATTEMPTS + 1):
        with pytest.raises(ProtocolError):
            next_attempt(state, state.manifest, message, attempt, ignore)


def test_a_roster_needs_the_site_itself_and_enough_others(agreed):
    state = agreed.sites["a"]
    for sites in ("bc", "ab", ""):
        with pytest.raises(ProtocolError):
            check_roster(state, state.manifest, sites, ignore)
    known = replace(state, known=({"a": "", "b": ""},))
    with pytest.raises(ProtocolError):
        check_roster(known, state.manifest, "abc", ignore)


def test_a_released_roster_is_learnt_from_the_steward_only(padded):
    state, manifest = padded.sites["a"], padded.aggregator.manifest
    header = headers.release_header(manifest, round=1, attempt=1, statistic="", roster_hash="")
    sites = ["a", "b", "c"]

    def message(signer, named):
        envelope = seal(padded.identities[signer], header, canonical_json(sites))
        return Message(
            kind="query.upload",
            header={"released": named, "released_envelope": envelope.to_json()},
        )

    assert learnt(state, manifest, Message(kind="query.upload"), ignore) == state
    after = learnt(state, manifest, message("steward", sites), ignore)
    assert [set(entry.members) for entry in after.released] == [{"a", "b", "c"}]
    assert learnt(after, manifest, message("steward", sites), ignore) == after
    for bad in (message("a", sites), message("steward", ["a", "b"])):
        with pytest.raises(ProtocolError):
            learnt(state, manifest, bad, ignore)


def test_the_roster_of_a_failed_run_is_forgotten_on_the_stewards_word(agreed, state):
    manifest = state.manifest
    silent = Message(kind="query.close")
    assert forget_void(state, manifest, silent, ignore) == state
    assert forget_void(state, manifest, token(agreed, 0), ignore).released == ()
    assert forget_void(state, manifest, token(agreed, 2), ignore) == state
    header = headers.void_header(
        manifest,
        attempt=1,
        roster_hash=agreed.aggregator.roster.digest(manifest),
        last_released=0,
        is_released=False,
    )
    forged = Message(
        kind="query.close", header={"void": seal(agreed.identities["a"], header).to_json()}
    )
    with pytest.raises(ProtocolError):
        forget_void(state, manifest, forged, ignore)


def test_a_roster_that_names_a_site_twice_is_refused(padded):
    """Counted twice, two sites would pass for the three that a total needs at least."""
    state = padded.sites["a"]
    for sites in (["a", "a", "a"], ["a", "b", "b"]):
        reasons = []
        with pytest.raises(ProtocolError):
            check_roster(state, state.manifest, sites, reasons.append)
        assert reasons == ["a site is twice in one roster"]
