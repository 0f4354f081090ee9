"""The aggregator's state: bytes and back at every moment of a run, in both modes."""

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState
from fedcausal_privacy.secure_sum.in_process import SecureSum


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_every_moment_of_a_round_is_bytes_and_back(mode, contributions, recording):
    given = {**contributions, "d": contributions["a"]}
    pool = SecureSum.open(tuple(given), mode=mode)
    seen = set()
    for before in recording(pool, given, silent={"d"}).before.values():
        state = before.aggregator
        content = state.to_bytes()
        again = AggregatorState.from_bytes(content)
        assert again.to_bytes() == content
        assert (again.phase, again.waiting, again.members) == (
            state.phase,
            state.waiting,
            state.members,
        )
        assert again.batch == state.batch
        seen.add(state.phase)
    assert {"upload", "decrypt", "ready"} <= seen


def test_the_opening_too(opening):
    for before in opening.before.values():
        content = before.aggregator.to_bytes()
        assert AggregatorState.from_bytes(content).to_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{}", bytes(8) + b"{}", b"\xff" * 20])
def test_other_bytes_are_refused(content, agreed):
    with pytest.raises(ProtocolError):
        AggregatorState.from_bytes(content)
    whole = agreed.aggregator.to_bytes()
    for cut in (whole[:-1], whole + b"0"):
        with pytest.raises(ProtocolError):
            AggregatorState.from_bytes(cut)


def test_it_holds_no_key(agreed):
    content = agreed.aggregator.to_bytes()
    for state in agreed.sites.values():
        assert state.ephemeral_key.hex().encode() not in content
    assert agreed.steward.secret_context not in content
