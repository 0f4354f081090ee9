"""The mask graph: regular, symmetric, connected, drawn by nobody, and its bound computed."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import mask_graph
from fedcausal_privacy.secure_sum.mask_graph import (
    degree,
    isolation_bound,
    isolation_probability,
    neighbours,
    worst_case_colluders,
)


def graph(num_sites, roster_hash):
    return [set(neighbours(i, num_sites, roster_hash)) for i in range(num_sites)]


def is_connected(edges, honest):
    seen, todo = set(), [next(iter(honest))]
    while todo:
        site = todo.pop()
        if site not in seen:
            seen.add(site)
            todo += edges[site] & honest
    return seen == honest


@settings(max_examples=12, deadline=None, derandomize=True)
@given(num_sites=st.sampled_from([3, 64, 65, 90, 150]), seed=st.integers(0, 2**32))
def test_the_graph_is_regular_symmetric_and_connected(num_sites, seed):
    edges = graph(num_sites, f"{seed:064x}")
    assert {len(around) for around in edges} == {degree(num_sites)}
    assert all(i in edges[j] and i != j for i in range(num_sites) for j in edges[i])
    assert is_connected(edges, set(range(num_sites)))


def test_the_roster_hash_draws_the_graph():
    assert neighbours(0, 100, "a" * 64) == neighbours(0, 100, "a" * 64)
    assert neighbours(0, 100, "a" * 64) != neighbours(0, 100, "b" * 64)


def test_every_site_is_a_neighbour_equally_often():
    """Null hypothesis: each of 79 others is a neighbour with probability k / 79; 5 sigma."""
    draws, num_sites = 400, 80
    counts = np.zeros(num_sites)
    for draw in range(draws):
        counts[list(neighbours(0, num_sites, f"{draw:064x}"))] += 1
    share = degree(num_sites) / (num_sites - 1)
    deviation = np.abs(counts[1:] - draws * share) / np.sqrt(draws * share * (1 - share))
    assert deviation.max() < 5


def test_sixty_four_sites_are_complete_and_more_are_not():
    assert (degree(64), worst_case_colluders(64), isolation_bound(64, 20)) == (63, 63, 0.0)
    assert degree(65) < 64
    for num_sites in (65, 100, 300, 1000):
        assert degree(num_sites) % 2 == 0
        assert isolation_bound(num_sites, num_sites // 3) <= 2**-80
        assert isolation_probability(num_sites, num_sites // 3) <= 2**-80


def test_the_stated_bound_covers_what_random_colluders_do(monkeypatch):
    """With k = 4 of 12 sites the bound is large enough to be met by counting all colluders."""
    monkeypatch.setattr(mask_graph, "COMPLETE_UP_TO", 3)
    monkeypatch.setattr(mask_graph, "degree", lambda num_sites: 4)
    edges = graph(12, "c" * 64)
    for num_colluding in (4, 5, 6):
        cut = lonely = 0
        for colluders in combinations(range(12), num_colluding):
            honest = set(range(12)) - set(colluders)
            cut += not is_connected(edges, honest)
            lonely += 0 in honest and not edges[0] & honest
        assert 0 < cut / comb(12, num_colluding) <= isolation_bound(12, num_colluding)
        given_honest = comb(11, num_colluding)
        assert lonely / given_honest == pytest.approx(isolation_probability(12, num_colluding))


def test_chosen_colluders_need_all_neighbours():
    num_sites = 70
    edges = graph(num_sites, "d" * 64)
    assert len(edges[0]) == worst_case_colluders(num_sites)
    assert not is_connected(edges, set(range(num_sites)) - edges[0])
    for spared in edges[0]:
        assert is_connected(edges, set(range(num_sites)) - edges[0] | {spared})


def test_a_position_outside_the_roster():
    for position in (-1, 3):
        with pytest.raises(ProtocolError):
            neighbours(position, 3, "a" * 64)
    with pytest.raises(ProtocolError):
        isolation_probability(5, 5)
