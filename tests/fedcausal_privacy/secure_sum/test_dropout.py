"""Who may go on without whom."""

from dataclasses import replace

import pytest

from fedcausal_privacy.errors import DeadlineError, ProtocolError
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.aggregator_state import Dropout, Question
from fedcausal_privacy.secure_sum.dropout import (
    check_survivors,
    give_up,
    is_worth_asking_again,
    void_request,
)

SEVEN = tuple("abcdefg")


@pytest.fixture
def state(agreed, spec):
    question = Question(specs=(spec,), kind="query.upload")
    lost = Dropout(site="g", kind="query.upload", round=1, attempt=1)
    return replace(
        agreed.aggregator, sites=SEVEN, members=SEVEN, question=question, round=1, dropouts=(lost,)
    )


def test_before_any_release_survivors_go_on(state):
    check_survivors(state, SEVEN[:6])
    after, message = give_up(state, SEVEN[:6])
    assert (after.phase, after.members, after.waiting) == ("void", SEVEN[:6], ("steward",))
    assert (message.kind, message.header["attempt"]) == ("query.void", 1)
    assert not is_worth_asking_again(state, SEVEN[:6])


def test_below_the_quorum_the_round_ends(state):
    with pytest.raises(DeadlineError, match=r"g \(query.upload\).*2 sites are left and 3"):
        check_survivors(state, ("a", "b"))
    with pytest.raises(DeadlineError, match=r"rounds.quorum"):
        check_survivors(replace(state, quorum=5), SEVEN[:4])


def test_after_a_release_only_the_same_roster_or_large_groups_go_on(state):
    released = replace(state, released=(SEVEN,))
    check_survivors(released, SEVEN[:4])
    with pytest.raises(DeadlineError, match="by subtraction"):
        check_survivors(released, SEVEN[:6])
    after, _ = give_up(released, SEVEN[:6])
    assert after.members == SEVEN
    assert is_worth_asking_again(released, SEVEN[:6])
    tired = replace(released, dropouts=released.dropouts * 3)
    assert not is_worth_asking_again(tired, SEVEN[:6])


def test_the_third_attempt_is_the_last(state):
    with pytest.raises(DeadlineError, match="3 attempts failed"):
        give_up(replace(state, attempt=3), SEVEN[:6])
    young = aggregator.begin(run_id="r", study_hash="0" * 64, sites="abc", steward="s")
    with pytest.raises(ProtocolError):
        give_up(young, SEVEN[:6])


def test_only_what_is_open_can_be_void(state, agreed, padded):
    assert void_request(state).header["round"] == 1
    assert void_request(agreed.aggregator) is None
    assert void_request(padded.aggregator) is None
