"""Whatever the network and the power supply do: the sum is exact, or there is none.

A schedule delivers messages in any order, drops, doubles and delays them, lets deadlines pass too
early, and kills parties between any two steps, which then go on from their bytes. Most schedules
run with plain integers in the place of the cipher; a part of them runs the real one.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.errors import FedCausalError, ProtocolError
from fedcausal_privacy.messages import pack
from fedcausal_privacy.secure_sum import aggregator, introduction, second_steward, site
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Post
from fedcausal_privacy.secure_sum.atoms import smallest_atom
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.states import SecondStewardState, SiteState, StewardState
from fedcausal_privacy.statistic_spec import StatisticSpec

NAMES = tuple("abcdefg")
SPEC = StatisticSpec(name="g", length=3, bound=10**6)
VECTORS = {name: np.array([10**i, -i, 7]) for i, name in enumerate(NAMES)}
GIVEN = {name: {"g": (SPEC, vector)} for name, vector in VECTORS.items()}
NUM_ROUNDS = 2

# Byte by byte: what happens next. After the last one everything is delivered in order.
SCHEDULES = st.binary(max_size=400)


def use_plain_integers(monkeypatch):
    """The five methods of the cipher, without the cipher."""

    def add(self, public, ciphertexts, *, length):
        arrays = [np.frombuffer(c, dtype=np.uint64) for c in ciphertexts]
        if any(a.size != length for a in arrays):
            raise ProtocolError("a ciphertext of another length")
        return np.sum(arrays, axis=0, dtype=np.uint64).tobytes()

    monkeypatch.setattr(BfvScheme, "generate_keys", lambda self: (b"public", b"secret"))
    monkeypatch.setattr(BfvScheme, "encrypt", lambda self, public, residues: residues.tobytes())
    monkeypatch.setattr(BfvScheme, "add", add)
    monkeypatch.setattr(
        BfvScheme,
        "decrypt",
        lambda self, secret, c, *, length: np.frombuffer(c, dtype=np.uint64, count=length),
    )
    monkeypatch.setattr(BfvScheme, "noise_budget", lambda self, secret, c, *, length: 9)
    for module in (site, introduction, second_steward):
        monkeypatch.setattr(module, "parse_public", lambda content: None)


class Chaos:
    """One run over a bad network; `pool` is what survives."""

    def __init__(self, pool, schedule):
        self.pool, self.bytes, self.flight = pool, list(schedule)[::-1], []
        self.last, self.decryptions = {}, Counter()

    def run(self, posts):
        self.send(posts)
        while self.flight or aggregator.is_waiting(self.pool.aggregator):
            byte = self.bytes.pop() if self.bytes else 0
            if not self.flight or (byte % 8 == 7 and byte >= 128):
                self.send(self.coordinate(lambda: aggregator.expire(self.pool.aggregator)))
            else:
                self.act(byte % 8, byte // 8 % len(self.flight))

    def act(self, action, place):
        item = self.flight[place]
        if action == 5:
            self.flight.append(item)
        elif action == 6:
            self.kill(item[1])
        else:
            del self.flight[place]
            if action != 4:
                self.deliver(*item)

    def deliver(self, direction, party, message):
        if direction == "back":
            step = lambda: aggregator.receive(self.pool.aggregator, party, message)  # noqa: E731
            self.send(self.coordinate(step))
            return
        digest = sha256_hex(pack(message))
        if self.last.get(party, ("", None))[0] != digest:
            try:
                before = self.pool
                self.pool, reply = before.deliver(Post(recipient=party, message=message), GIVEN)
            except ProtocolError:
                return
            self.last[party] = (digest, reply)
            if message.kind == "query.decrypt":
                self.decryptions[message.header["round"]] += 1
        self.flight.append(("back", party, self.last[party][1]))

    def coordinate(self, step):
        state, posts = step()
        self.pool = replace(self.pool, aggregator=state)
        return posts

    def send(self, posts):
        self.flight += [("to", post.recipient, post.message) for post in posts]

    def kill(self, party):
        """A party's process dies; another one goes on from what was on the disk."""
        pool = self.pool
        sites = dict(pool.sites)
        if party in sites:
            sites[party] = SiteState.from_bytes(sites[party].to_bytes())
        self.pool = replace(
            pool,
            sites=sites,
            steward=StewardState.from_bytes(pool.steward.to_bytes()),
            second_steward=SecondStewardState.from_bytes(pool.second_steward.to_bytes()),
            aggregator=AggregatorState.from_bytes(pool.aggregator.to_bytes()),
        )


def check(pool, schedule, opening=False):
    """The law: every total that comes out is the sum over the sites that it names."""
    chaos = Chaos(pool, schedule)
    totals = 0
    try:
        if opening:
            chaos.run(chaos.coordinate(lambda: aggregator.open(chaos.pool.aggregator)))
        for _ in range(NUM_ROUNDS):
            state = chaos.pool.aggregator
            ask = aggregator.ask(state, specs=[SPEC])
            chaos.run(chaos.coordinate(lambda ask=ask: ask))
            state = chaos.pool.aggregator
            expected = np.sum([VECTORS[name] for name in state.summed], axis=0)
            assert len(state.summed) >= 3
            assert state.totals["g"].totals.tolist() == expected.tolist()
            totals += 1
    except FedCausalError:
        pass
    finally:
        state = chaos.pool.steward
        assert all(count == 1 for count in chaos.decryptions.values())
        assert len(set(state.spent)) == len(state.spent)
        rosters = [set(entry.members) for entry in state.released]
        assert smallest_atom(rosters) >= 3 or not rosters
    return totals


@pytest.fixture(scope="module")
def pools():
    """An agreed run of each mode, and one that nobody has spoken in; with plain integers."""
    with pytest.MonkeyPatch.context() as patch:
        use_plain_integers(patch)
        yield {
            mode: (SecureSum.open(NAMES, mode=mode), SecureSum.begin(NAMES[:5], mode=mode))
            for mode in ("masked", "two-steward")
        }


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(schedule=SCHEDULES)
def test_the_sum_is_exact_or_there_is_none(pools, mode, schedule):
    check(pools[mode][0], schedule)


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(schedule=SCHEDULES)
def test_also_when_the_opening_is_disturbed(pools, mode, schedule):
    check(pools[mode][1], schedule, opening=True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["masked", "two-steward"])
@settings(max_examples=600, deadline=None, derandomize=True)
@given(schedule=SCHEDULES)
def test_the_sum_is_exact_or_there_is_none_at_length(pools, mode, schedule):
    check(pools[mode][0], schedule)


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(schedule=SCHEDULES)
def test_with_the_real_cipher(mode, schedule):
    check(SecureSum.begin(NAMES[:4], mode=mode), schedule, opening=True)


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_schedules_do_reach_totals_with_dropouts_and_without(pools, mode):
    """The law is not empty: of random schedules some end in totals, some after a dropout."""
    ends, rng = Counter(), np.random.default_rng(5)
    for _ in range(20):
        ends[check(pools[mode][0], rng.bytes(int(rng.integers(0, 60))))] += 1
    assert ends[NUM_ROUNDS] >= 5
    assert len(ends) >= 2
