from itertools import pairwise

import httpx
import pytest
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from fedcausal.errors import LinkError, UnreachableError
from fedcausal_server.transport import outage
from fedcausal_server.transport.outage import STATUS, insist, is_outage
from tests.faults.mortal_sites import Clock

REQUEST = httpx.Request("POST", "https://link/v1/runtime/pull-messages", content=b"secret")


def answered(status, **extensions):
    response = httpx.Response(status, request=REQUEST, extensions=extensions)
    return httpx.HTTPStatusError("secret", request=REQUEST, response=response)


OUTAGES = [
    answered(500),
    answered(503),
    answered(429),
    httpx.ConnectError("[SSL: UNEXPECTED_EOF_WHILE_READING] secret"),
    httpx.ReadTimeout("secret"),
    httpx.RemoteProtocolError("secret"),
    ObjectPushError("object", 1, "session"),
]


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(outage, "time", made)
    return made


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_it_asks_again_until_there_is_an_answer(clock, error):
    answers = iter([error, error, error, "here"])

    def call():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert insist(call, what="list its nodes", deadline=600) == "here"
    assert 1.0 <= clock.now <= 3.5


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_it_gives_up_at_the_deadline_with_a_word(clock, error):
    asked = []

    def call():
        asked.append(clock.now)
        raise error

    with pytest.raises(UnreachableError, match=r"did not take messages for 600 s.* resume") as e:
        insist(call, what="take messages", deadline=600)
    assert "secret" not in str(e.value)
    assert e.value.exit_code == 2
    assert clock.now == 600
    pauses = [after - before for before, after in pairwise(asked)]
    # They grow to ten seconds: a SuperLink that comes back is noticed, and not stormed.
    assert max(pauses) <= 10
    assert 60 <= len(asked) <= 140


@pytest.mark.parametrize("status", [400, 404, 413])
def test_a_refusal_is_final(clock, status):
    def call():
        raise answered(status)

    with pytest.raises(LinkError, match=f"refused to take messages .HTTP {status}") as caught:
        insist(call, what="take messages", deadline=600)
    assert not isinstance(caught.value, UnreachableError)
    assert clock.now == 0


def test_what_was_really_answered_is_said(clock):
    def call():
        raise answered(503, **{STATUS: 500})

    with pytest.raises(UnreachableError, match="HTTP 500"):
        insist(call, what="take messages", deadline=0)


def test_other_errors_pass(clock):
    def call():
        raise ZeroDivisionError

    assert not is_outage(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        insist(call, what="take messages", deadline=600)
