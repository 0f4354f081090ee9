"""The law of the protocol: the secure sum is the plain sum, entry by entry."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.errors import DeadlineError, ProtocolError
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Post
from fedcausal_privacy.secure_sum.in_process import SecureSum, sum_securely
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.secure_sum.states import SecondStewardState, SiteState, StewardState
from fedcausal_privacy.statistic_spec import CountTable, StatisticSpec

UPLOADS = ("query.upload",)


def same(one, other):
    return (one.totals == other.totals).all() and (one.withheld == other.withheld).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    num_sites=st.integers(3, 12),
    length=st.integers(1, 40),
    limbs=st.sampled_from([1, 2]),
    mode=st.sampled_from(["masked", "two-steward"]),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_secure_equals_plain(num_sites, length, limbs, mode, seed, data):
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
    assert same(sum_securely(by_site, spec, mode=mode), plain_sum(list(vectors), spec))


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
@pytest.mark.parametrize("limbs", [1, 2])
def test_secure_equals_plain_over_several_ciphertexts(limbs, mode):
    spec = StatisticSpec(name="long", length=5000, bound=2**24, limbs=limbs)
    vectors = np.random.default_rng(0).integers(-(2**24), 2**24, (3, 5000))
    by_site = dict(zip("abc", vectors, strict=True))
    assert same(sum_securely(by_site, spec, mode=mode), plain_sum(list(vectors), spec))


def test_several_statistics_and_rounds_in_one_run(agreed, spec):
    update = StatisticSpec(name="update", length=3, bound=2**20, limbs=1)
    vectors = {name: np.arange(3) * (1 - 2 * i) for i, name in enumerate("abc")}
    both = {
        name: {"gram": (spec, np.full(4, 10)), "update": (update, vectors[name])} for name in "abc"
    }
    pool, first = agreed.sum(both)
    only = {name: {"update": (update, vectors[name])} for name in "abc"}
    pool, second = pool.sum(only, kind="train.upload")
    assert first["gram"].totals.tolist() == [30] * 4
    assert same(first["update"], second["update"])
    assert same(first["update"], plain_sum(list(vectors.values()), update))


def test_the_cell_rule_is_applied_before_anything_is_released(agreed):
    spec = StatisticSpec(name="cells", length=2, bound=9, min_cell=5, counts=(0, 1))
    given_vectors = {name: {"cells": (spec, np.array([1, 2]))} for name in "abc"}
    _, released = agreed.sum(given_vectors)
    assert released["cells"].totals.tolist() == [0, 6]
    assert released["cells"].withheld.tolist() == [True, False]


@pytest.mark.parametrize("num_sites", [0, 1, 2])
def test_fewer_than_three_sites_are_refused(num_sites):
    with pytest.raises(ProtocolError, match="min_sites"):
        SecureSum.open([f"site-{i}" for i in range(num_sites)])


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_a_run_goes_on_from_serialised_states(mode, spec, contributions, recording):
    """Every state before every step of a round is bytes and back, and ends in the same total."""
    pool = SecureSum.open(tuple(contributions), mode=mode)
    recorded = recording(pool, contributions)
    for (kind, name), before in recorded.before.items():
        if name:
            thawed = thaw(before)
            after, _ = thawed.deliver(
                Post(recipient=name, message=recorded.messages[kind, name]), contributions
            )
            assert thaw(after) == thaw(thaw(after))
    last = thaw(recorded.pool)
    reply = last.deliver(Post(recipient="steward", message=recorded.decrypt), contributions)[1]
    asked = recorded.before["query.decrypt", "steward"].aggregator
    state = AggregatorState.from_bytes(asked.to_bytes())
    state, _ = aggregator.receive(state, "steward", reply)
    expected = plain_sum([v["gram"][1] for v in contributions.values()], spec)
    assert same(state.totals["gram"], expected)


def thaw(pool):
    return SecureSum(
        identities=pool.identities,
        sites={n: SiteState.from_bytes(s.to_bytes()) for n, s in pool.sites.items()},
        steward=StewardState.from_bytes(pool.steward.to_bytes()),
        second_steward=SecondStewardState.from_bytes(pool.second_steward.to_bytes()),
        aggregator=AggregatorState.from_bytes(pool.aggregator.to_bytes()),
    )


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_a_dropout_before_any_release_costs_its_own_rows_only(mode, spec):
    names = ("a", "b", "c", "d")
    pool = SecureSum.open(names, mode=mode)
    given = {n: {"gram": (spec, np.full(4, 2**i))} for i, n in enumerate(names)}
    pool, totals = pool.sum(given, silent={"c"})
    assert totals["gram"].totals.tolist() == [11] * 4
    state = pool.aggregator
    assert state.summed == ("a", "b", "d")
    assert {d.site for d in state.dropouts} == {"c"}
    assert state.attempt == (2 if mode == "masked" else 1)
    # From here on the roster is what it is: a further dropout ends the run, with its reason.
    with pytest.raises(DeadlineError, match=r"rounds.quorum|by subtraction"):
        pool.sum(given, silent={"b"})


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_after_a_release_only_a_group_of_k_min_may_leave(mode, spec):
    names = tuple("abcdefg")
    given = {n: {"gram": (spec, np.full(4, 2**i))} for i, n in enumerate(names)}
    pool, _ = SecureSum.open(names, mode=mode).sum(given)
    with pytest.raises(DeadlineError, match="by subtraction"):
        pool.sum(given, silent={"g"})
    pool, totals = pool.sum(given, silent={"e", "f", "g"})
    assert totals["gram"].totals.tolist() == [15] * 4


def test_three_attempts_are_the_limit(spec):
    names = tuple("abcdef")
    given = {n: {"gram": (spec, np.full(4, 1))} for n in names}
    pool = SecureSum.open(names)
    state, posts = aggregator.ask(pool.aggregator, specs=[spec])
    silent, attempts = iter(({"f"}, {"e", "f"}, {"d", "e", "f"})), []

    def one_attempt(pool, posts, missing):
        queue = [post for post in posts if post.recipient not in missing]
        while queue:
            post = queue.pop(0)
            pool, reply = pool.deliver(post, given)
            state, more = aggregator.receive(pool.aggregator, post.recipient, reply)
            pool = replace(pool, aggregator=state)
            queue += [
                p for p in more if not (p.message.kind in UPLOADS and p.recipient in missing)
            ]
        attempts.append(pool.aggregator.attempt)
        state, more = aggregator.expire(pool.aggregator)
        return replace(pool, aggregator=state), more

    pool = replace(pool, aggregator=state)
    for _ in range(2):
        pool, posts = one_attempt(pool, posts, next(silent))
    with pytest.raises(DeadlineError, match="3 attempts failed"):
        one_attempt(pool, posts, next(silent))
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_no_message_holds_a_plain_statistic(mode, recording):
    # One recorded transcript; the marker's bytes appear in the final release only.
    marker = 0x1122334455667788
    spec = StatisticSpec(name="m", length=8, bound=marker)
    vectors = {
        name: np.full(8, marker if name == "a" else 0, dtype=np.int64) for name in ("a", "b", "c")
    }
    given = {n: {"m": (spec, v)} for n, v in vectors.items()}
    recorded = recording(SecureSum.open("abc", mode=mode), given, specs=[spec])
    release = recorded.replies.pop(("query.decrypt", "steward"))
    plain = (marker.to_bytes(8, "little"), (marker & 0xFFFFFFFF).to_bytes(4, "little"))
    for sent in [*recorded.messages.values(), *recorded.replies.values()]:
        content = repr(sent.header).encode() + b"".join(sent.blobs.values())
        assert not any(p in content for p in plain)
    assert plain[0] in release.blobs["release/m"]
