"""States: bytes and back, also when nothing has happened yet, and nothing else is read."""

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import second_steward, site, steward
from fedcausal_privacy.secure_sum.states import SecondStewardState, SiteState, StewardState


def test_states_of_every_moment_are_bytes_and_back(recorded, recorded_pads):
    young = site.begin(name="a", study_hash="0" * 64, trusted={"b": "1" * 64}, data_version="7")
    strict = site.begin(name="a", study_hash="0" * 64, mode="two-steward")
    sites = [young, strict, site.close(recorded.pool.sites["a"])]
    stewards, seconds = [steward.begin(name="s")], [second_steward.begin(name="p")]
    for pool in (*recorded.before.values(), *recorded_pads.before.values()):
        sites.append(pool.sites["a"])
        stewards += [pool.steward, steward.close(pool.steward)]
        seconds.append(pool.second_steward)
    for kind, states in (
        (SiteState, sites),
        (StewardState, stewards),
        (SecondStewardState, seconds),
    ):
        for state in states:
            assert kind.from_bytes(state.to_bytes()) == state


@pytest.mark.parametrize("kind", [SiteState, StewardState, SecondStewardState])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"name": 3}'])
def test_other_bytes_are_refused(kind, content):
    with pytest.raises(ProtocolError):
        kind.from_bytes(content)


def test_a_mode_that_does_not_exist_is_refused():
    state = site.begin(name="a", study_hash="0" * 64, mode="masked")
    with pytest.raises(ProtocolError, match="cannot be read"):
        SiteState.from_bytes(state.to_bytes().replace(b"masked", b"openly"))
