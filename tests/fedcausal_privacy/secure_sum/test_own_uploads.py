"""Own vectors: signed, of the round and the length that was asked for, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.errors import DeadlineError, ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.secure_sum import aggregator, headers, own_uploads
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

SPEC = StatisticSpec(name="gram", length=3, bound=1000)
VECTORS = {name: np.array([k, -k, 1000]) for k, name in enumerate("abcd")}
CONTRIBUTIONS = {name: {"gram": (SPEC, vector)} for name, vector in VECTORS.items()}


@pytest.fixture(params=["masked", "two-steward"])
def pool(request):
    return SecureSum.open(tuple(VECTORS), mode=request.param)


def replies(pool):
    """The state that waits, and every site's reply."""
    state, posts = aggregator.ask(pool.aggregator, specs=[SPEC], kind=headers.OWN_UPLOAD)
    found = {p.recipient: pool.deliver(p, CONTRIBUTIONS)[1] for p in posts}
    return state, found


def test_every_vector_comes_as_it_was_sent_and_no_steward_is_asked(pool):
    after, totals = pool.sum(CONTRIBUTIONS, kind=headers.OWN_UPLOAD)
    assert totals == {}
    read = own_uploads.vectors(after.aggregator)
    assert read.keys() == VECTORS.keys()
    for site, vector in VECTORS.items():
        np.testing.assert_array_equal(read[site]["gram"], vector)
    assert after.aggregator.released == ()
    assert after.steward == pool.steward
    assert own_uploads.summed(after.aggregator, ["a", "b"]).summed == ("a", "b")


def test_a_site_that_is_not_asked_any_more_is_not_waited_for(pool):
    state = own_uploads.asking(pool.aggregator, ["b"])
    after, _ = replace(pool, aggregator=state).sum(CONTRIBUTIONS, kind=headers.OWN_UPLOAD)
    assert set(own_uploads.vectors(after.aggregator)) == {"a", "c", "d"}


def test_silence_voids_nothing_until_the_quorum_is_lost(pool):
    after, _ = pool.sum(CONTRIBUTIONS, kind=headers.OWN_UPLOAD, silent=["c"])
    assert set(own_uploads.vectors(after.aggregator)) == {"a", "b", "d"}
    assert [lost.site for lost in after.aggregator.dropouts] == ["c"]
    with pytest.raises(DeadlineError, match="2 sites are left and 3 are needed"):
        pool.sum(CONTRIBUTIONS, kind=headers.OWN_UPLOAD, silent=["a", "c"])


def test_changed_forged_short_or_foreign_vectors_are_refused(pool):
    state, found = replies(pool)
    good = found["a"]
    blob = headers.own_blob("gram")
    changed = replace(good, blobs={blob: good.blobs[blob][:-1] + b"1"})
    short = replace(good, blobs={blob: good.blobs[blob][:-8]})
    more = replace(good, blobs={**good.blobs, headers.own_blob("other"): b""})
    header = Envelope.from_json(good.header["envelopes"]["gram"]).header
    forged = seal(Identity.generate(), header, good.blobs[blob]).to_json()
    by_another = replace(good, header={"envelopes": {"gram": forged}})
    for bad in (changed, short, more, by_another, replace(good, header={}), found["b"]):
        with pytest.raises(ProtocolError):
            aggregator.receive(state, "a", bad)
    taken, _ = aggregator.receive(state, "a", good)
    assert "a" not in taken.waiting
    assert aggregator.receive(taken, "a", good)[0] is taken


def test_a_vector_of_an_earlier_round_changes_nothing(pool):
    state, found = replies(pool)
    assert own_uploads.is_open(state)
    later = replace(state, round=state.round + 1)
    assert aggregator.receive(later, "a", found["a"])[0] is later


def test_a_waiting_state_survives_the_disk(pool):
    state, found = replies(pool)
    state, _ = aggregator.receive(state, "a", found["a"])
    assert AggregatorState.from_bytes(state.to_bytes()) == state


def test_no_steward_adds_own_vectors(pool):
    assert headers.OWN_UPLOAD not in headers.SUM_KINDS
    assert headers.OWN_UPLOAD in headers.UPLOAD_KINDS
