"""States: bytes and back, also when nothing has happened yet, and nothing else is read."""

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import aggregator, site, steward
from fedcausal_privacy.secure_sum.states import AggregatorState, SiteState, StewardState


def test_states_of_every_moment_are_bytes_and_back(agreed, uploaded):
    young = site.begin(name="a", study_hash="0" * 64, trusted={"b": "1" * 64})
    for state in (young, agreed.sites["a"], uploaded[0].sites["a"], site.close(agreed.sites["a"])):
        assert SiteState.from_bytes(state.to_bytes()) == state
    for state in (steward.begin(name="s"), agreed.steward, steward.close(agreed.steward)):
        assert StewardState.from_bytes(state.to_bytes()) == state
    for state in (aggregator.begin(run_id="r", study_hash="0" * 64), agreed.aggregator):
        assert AggregatorState.from_bytes(state.to_bytes()) == state


@pytest.mark.parametrize("kind", [SiteState, StewardState, AggregatorState])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"name": 3}'])
def test_other_bytes_are_refused(kind, content):
    with pytest.raises(ProtocolError):
        kind.from_bytes(content)


def test_the_aggregator_holds_no_key(agreed):
    content = agreed.aggregator.to_bytes()
    for state in agreed.sites.values():
        assert state.ephemeral_key.hex().encode() not in content
    assert agreed.steward.secret_context not in content
