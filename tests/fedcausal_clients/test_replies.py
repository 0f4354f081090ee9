"""The table of replies: all that real roles send is in it, and nothing else passes."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.refusals import MAX_WHERE, RefusalCode
from fedcausal_clients.replies import CLOSE, SITE, STEWARD, check_form
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

SPEC = StatisticSpec(name="gram", length=1, bound=10)


def spoken(mode):
    """(party, reply) of a whole run with one round."""
    said, deliver = [], SecureSum.deliver

    def recording(pool, post, contributions):
        after, reply = deliver(pool, post, contributions)
        said.append((post.recipient, reply))
        return after, reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecureSum, "deliver", recording)
        pool = SecureSum.open("abc", run_id="run", mode=mode)
        pool.sum({site: {"gram": (SPEC, np.array([1]))} for site in "abc"})
    return said


@pytest.fixture(scope="module", params=["masked", "two-steward"])
def replies(request):
    return spoken(request.param)


def forms_of(party):
    return STEWARD if "steward" in party else SITE


def test_every_reply_of_a_run_has_its_form(replies):
    for party, reply in replies:
        check_form(reply, forms_of(party))
    kinds = {reply.kind for _, reply in replies}
    assert kinds <= SITE.keys() | STEWARD.keys()
    assert {headers.HELLO, headers.UPLOAD, headers.DECRYPT} <= kinds


def test_one_entry_or_blob_more_does_not_pass(replies):
    for party, reply in replies:
        for more in (
            {"header": {**reply.header, "rows": 3}},
            {"header": {**reply.header, "where": "age"}},
            {"blobs": {**reply.blobs, "rows": b"1"}},
            {"blobs": {**reply.blobs, "vector/gram": b"1"}},
            {"kind": "query.rows"},
        ):
            with pytest.raises(ProtocolError, match="about to leave"):
                check_form(replace(reply, **more), forms_of(party))


def test_signed_entries_hold_envelopes_and_nothing_else(replies):
    for party, reply in replies:
        form = forms_of(party)[reply.kind]
        for name in form.signed & reply.header.keys():
            for value in ("17 rows", {"gram": "17 rows"}, {"signature": "0", "rows": 17}):
                with pytest.raises(ProtocolError):
                    check_form(
                        replace(reply, header={**reply.header, name: value}), forms_of(party)
                    )


def test_a_site_does_not_send_what_a_steward_sends(replies):
    for party, reply in replies:
        other = SITE if "steward" in party else STEWARD
        if reply.kind not in other or reply.blobs:
            with pytest.raises(ProtocolError, match="about to leave"):
                check_form(reply, other)


def refused(code, where=""):
    return Message(kind=CLOSE, header={"name": "a", "refusal": str(code), "where": where})


@pytest.mark.parametrize(
    "refusal",
    [
        refused("the value 17 is too large"),
        refused(RefusalCode.PROTOCOL, "x" * (MAX_WHERE + 1)),
        refused(RefusalCode.PROTOCOL, "two\nlines"),
        replace(refused(RefusalCode.PROTOCOL), blobs={"more": b""}),
        Message(kind=CLOSE, header={"name": "a", "refusal": "protocol", "reason": "17"}),
        Message(kind=CLOSE, header={"name": "a", "refusal": "protocol", "where": ["17"]}),
    ],
)
def test_a_refusal_is_a_code_and_a_name(refusal):
    check_form(refused(RefusalCode.DATA_DOES_NOT_FIT, "age"), SITE)
    with pytest.raises(ProtocolError, match="about to leave"):
        check_form(refusal, SITE)
