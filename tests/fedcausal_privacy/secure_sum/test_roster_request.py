import json

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.secure_sum.roster_request import RosterRequest, request_roster

NORTH = Identity.generate()
KNOWN = {"north": NORTH.public}


def test_an_enrolled_party_is_answered():
    request = request_roster("north", NORTH, now=1000.0)
    RosterRequest.from_bytes(request.to_bytes()).check(KNOWN, now=1100.0)


def test_hours_between_the_clocks_are_said():
    request = request_roster("north", NORTH, now=10_000.0)
    with pytest.raises(ProtocolError, match=r"differ by \+9000 s"):
        request.check(KNOWN, now=1000.0)


@pytest.mark.parametrize(
    "request_",
    [
        request_roster("north", Identity.generate(), now=0.0),
        request_roster("south", NORTH, now=0.0),
        RosterRequest(name="north", time=0, signature="not hex"),
    ],
    ids=["another key", "another name", "no signature"],
)
def test_nobody_else_is_answered(request_):
    with pytest.raises(ProtocolError, match="enrolled parties only"):
        request_.check(KNOWN, now=0.0)


@pytest.mark.parametrize("value", [[], {}, {"name": 1, "time": 0, "signature": ""}])
def test_nonsense_is_refused(value):
    with pytest.raises(ProtocolError):
        RosterRequest.from_bytes(json.dumps(value).encode())
