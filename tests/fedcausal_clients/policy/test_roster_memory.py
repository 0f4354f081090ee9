"""Rosters are remembered from run to run, and only while their totals may be out."""

import pytest

from fedcausal_clients.policy.roster_memory import known_rosters, remember_rosters
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.states import ReleasedRoster


def roster(names, attempt=1):
    return ReleasedRoster(attempt=attempt, members=dict.fromkeys(names, "1"))


def test_other_runs_are_known_and_the_own_one_is_its_states_business(tmp_path):
    store = StateStore.open(tmp_path)
    assert known_rosters(store, "one") == ()
    remember_rosters(store, "one", [roster("abc")])
    remember_rosters(store, "two", [roster("abcd"), roster("abc", 2)])
    assert known_rosters(store, "one") == (roster("abcd").members, roster("abc").members)
    assert known_rosters(store, "two") == (roster("abc").members,)
    assert known_rosters(StateStore.open(tmp_path), "three")[0] == roster("abc").members


def test_a_void_attempt_is_forgotten_and_nothing_is_written_without_need(tmp_path):
    store = StateStore.open(tmp_path)
    remember_rosters(store, "one", [])
    assert store.names() == ()
    remember_rosters(store, "one", [roster("abc")])
    before = (tmp_path / "rosters").stat().st_ino
    remember_rosters(store, "one", [roster("abc")])
    assert (tmp_path / "rosters").stat().st_ino == before
    remember_rosters(store, "one", [])
    assert known_rosters(store, "two") == ()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_memory_that_cannot_be_read_is_no_empty_one(tmp_path, content):
    """Empty, a total over one site less would be let out."""
    store = StateStore.open(tmp_path)
    store.write("rosters", content)
    with pytest.raises(ProtocolError, match="restore it"):
        known_rosters(store, "one")
