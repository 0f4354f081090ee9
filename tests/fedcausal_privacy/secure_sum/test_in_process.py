"""The law of the protocol: the secure sum is the plain sum, entry by entry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import aggregator, steward
from fedcausal_privacy.secure_sum.in_process import SecureSum, sum_securely
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.secure_sum.states import AggregatorState, SiteState, StewardState
from fedcausal_privacy.statistic_spec import CountTable, StatisticSpec


def same(one, other):
    return (one.totals == other.totals).all() and (one.withheld == other.withheld).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    num_sites=st.integers(3, 12),
    length=st.integers(1, 40),
    limbs=st.sampled_from([1, 2]),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_secure_equals_plain(num_sites, length, limbs, seed, data):
    largest = (2 ** (63 if limbs == 2 else 31) - 1) // num_sites
    bound = data.draw(st.one_of(st.just(largest), st.integers(0, min(largest, 100))))
    spec = StatisticSpec(
        name="law",
        length=length,
        bound=bound,
        limbs=limbs,
        min_cell=5,
        counts=tuple(range(0, length, 2)),
        tables=(CountTable(cells=tuple(range(length)), shape=(length,)),),
    )
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-bound, bound, (num_sites, length), endpoint=True)
    vectors[:, 0] = data.draw(st.sampled_from([bound, -bound, 0]))
    by_site = {f"site-{i}": vector for i, vector in enumerate(vectors)}
    assert same(sum_securely(by_site, spec), plain_sum(list(vectors), spec))


@pytest.mark.parametrize("limbs", [1, 2])
def test_secure_equals_plain_over_several_ciphertexts(limbs):
    spec = StatisticSpec(name="long", length=5000, bound=2**24, limbs=limbs)
    vectors = np.random.default_rng(0).integers(-(2**24), 2**24, (3, 5000))
    by_site = dict(zip("abc", vectors, strict=True))
    assert same(sum_securely(by_site, spec), plain_sum(list(vectors), spec))


def test_several_statistics_and_rounds_in_one_run(agreed, spec):
    update = StatisticSpec(name="update", length=3, bound=2**20, limbs=1)
    vectors = {name: np.arange(3) * (1 - 2 * i) for i, name in enumerate("abc")}
    both = {
        name: {"gram": (spec, np.full(4, 10)), "update": (update, vectors[name])} for name in "abc"
    }
    pool, first = agreed.sum(both, round=1)
    only = {name: {"update": (update, vectors[name])} for name in "abc"}
    pool, second = pool.sum(only, round=2, kind="train.upload")
    assert first["gram"].totals.tolist() == [30] * 4
    assert same(first["update"], second["update"])
    assert same(first["update"], plain_sum(list(vectors.values()), update))
    with pytest.raises(ProtocolError):
        pool.sum(only, round=2)


def test_the_cell_rule_is_applied_before_anything_is_released(agreed):
    spec = StatisticSpec(name="cells", length=2, bound=9, min_cell=5, counts=(0, 1))
    given_vectors = {name: {"cells": (spec, np.array([1, 2]))} for name in "abc"}
    _, released = agreed.sum(given_vectors, round=1)
    assert released["cells"].totals.tolist() == [0, 6]
    assert released["cells"].withheld.tolist() == [True, False]


@pytest.mark.parametrize("num_sites", [0, 1, 2])
def test_fewer_than_three_sites_are_refused(num_sites):
    with pytest.raises(ProtocolError, match="min_sites"):
        SecureSum.open([f"site-{i}" for i in range(num_sites)])


def test_a_run_goes_on_from_serialised_states(agreed, spec, contributions):
    def thaw(pool):
        return SecureSum(
            identities=pool.identities,
            sites={n: SiteState.from_bytes(s.to_bytes()) for n, s in pool.sites.items()},
            steward_identity=pool.steward_identity,
            steward=StewardState.from_bytes(pool.steward.to_bytes()),
            aggregator=AggregatorState.from_bytes(pool.aggregator.to_bytes()),
        )

    pool = thaw(agreed)
    request = aggregator.upload(pool.aggregator, round=1, specs=[spec])
    pool, replies = pool.ask(request, contributions)
    pool = thaw(pool)
    message = aggregator.combine(pool.aggregator, round=1, specs=[spec], replies=replies)
    state, ticket = steward.authorise(pool.steward, message, identity=pool.steward_identity)
    state = StewardState.from_bytes(state.to_bytes())
    reply = steward.release(state, ticket, identity=pool.steward_identity)
    released = aggregator.released(pool.aggregator, round=1, specs=[spec], reply=reply)["gram"]
    assert same(released, plain_sum([v["gram"][1] for v in contributions.values()], spec))
    with pytest.raises(ProtocolError):
        thaw(pool).ask(request, contributions)
    with pytest.raises(ProtocolError):
        steward.authorise(state, message, identity=pool.steward_identity)


def test_no_message_holds_a_plain_statistic():
    # One recorded transcript; the marker's bytes appear in the final release only.
    marker = 0x1122334455667788
    spec = StatisticSpec(name="m", length=8, bound=marker)
    vectors = {
        name: np.full(8, marker if name == "a" else 0, dtype=np.int64) for name in ("a", "b", "c")
    }
    pool = SecureSum.open("abc")
    request = aggregator.upload(pool.aggregator, round=1, specs=[spec])
    pool, replies = pool.ask(request, {n: {"m": (spec, v)} for n, v in vectors.items()})
    message = aggregator.combine(pool.aggregator, round=1, specs=[spec], replies=replies)
    _, release = steward.step(pool.steward, message, identity=pool.steward_identity)
    plain = (marker.to_bytes(8, "little"), (marker & 0xFFFFFFFF).to_bytes(4, "little"))
    for sent in [*replies, message]:
        content = repr(sent.header).encode() + b"".join(sent.blobs.values())
        assert not any(p in content for p in plain)
    assert plain[0] in release.blobs["release/m"]
