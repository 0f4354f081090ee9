import pytest

from fedcausal.errors import InputError
from fedcausal_clients.policy.consent import (
    approve_study,
    approved_studies,
    denied_studies,
    deny_study,
    find_request,
    kept_requests,
    note_request,
    state_of,
)
from fedcausal_clients.site_config import Policy
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.canonical import fingerprint
from fedcausal_privacy.errors import ProtocolError

BY_HAND = Policy(approve="manual")


@pytest.fixture
def place(tmp_path):
    return StateStore.open(tmp_path / "state"), AuditLog(path=tmp_path / "audit.jsonl")


def test_the_same_study_counts_up_once_per_run(place, study):
    for run in ("a", "a", "b", "b", "c"):
        note_request(*place, study, study.to_toml(), run)
    (request,) = kept_requests(place[0])
    assert (request.times, request.run) == (3, "c")
    assert request.read() == study
    assert len(place[1].lines()) == 1


def test_a_request_is_named_by_its_whole_hash_or_fingerprint(place, study):
    note_request(*place, study, study.to_toml(), "a")
    assert find_request(place[0], fingerprint(study.hash())).study == study.hash()
    for part in ("", study.hash()[:63], fingerprint(study.hash())[:-5], "*"):
        with pytest.raises(InputError, match="no study"):
            find_request(place[0], part)


def test_what_the_operator_said_last_counts(place, study):
    store, digest = place[0], study.hash()
    assert state_of(store, BY_HAND, digest) == ("waiting", None)
    approve_study(*place, digest)
    assert approved_studies(store, BY_HAND) == {digest}
    assert state_of(store, BY_HAND, digest)[0] == "approved"
    deny_study(*place, digest, " not\n  us ")
    state, decision = state_of(store, BY_HAND, digest)
    assert (state, decision.reason) == ("denied", "not us")
    assert approved_studies(store, BY_HAND) == frozenset()
    assert denied_studies(store) == {digest}
    approve_study(*place, digest)
    assert state_of(store, BY_HAND, digest)[0] == "approved"
    assert denied_studies(store) == frozenset()


def test_a_list_in_the_policy_approves_and_a_denial_outweighs_it(place, study):
    listed = Policy(approved=(study.hash(),))
    assert state_of(place[0], listed, study.hash()) == ("approved", None)
    deny_study(*place, study.hash(), "no")
    assert approved_studies(place[0], listed) == frozenset()


def test_an_approval_by_hand_is_none_by_hash(place, study):
    approve_study(*place, study.hash())
    assert approved_studies(place[0], Policy()) == frozenset()


@pytest.mark.parametrize("reason", ["", " \n", "x" * 501])
def test_a_denial_has_a_reason(place, study, reason):
    with pytest.raises(InputError, match="--reason"):
        deny_study(*place, study.hash(), reason)
    assert denied_studies(place[0]) == frozenset()


def test_a_decision_that_cannot_be_read_is_an_error(place, study):
    place[0].write("denied-" + study.hash(), b"[")
    with pytest.raises(ProtocolError, match="cannot be read"):
        state_of(place[0], BY_HAND, study.hash())
