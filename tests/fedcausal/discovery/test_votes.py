"""Ballots per pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.discovery.votes import Ballot, Votes, num_entries, pair_votes
from fedcausal.equivalence import cpdag_of, pdag_of
from fedcausal.errors import ProtocolError
from fedcausal.graph import Graph

NODES = ("a", "b", "c", "d")


def ballots_of(graph, places=(0, 1, 2, 3)):
    return pair_votes(pdag_of(graph), list(places), 4)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.sampled_from([(i, j) for j in range(4) for i in range(j)]), unique=True))
def test_one_graph_gives_one_ballot_per_pair_and_keeps_its_edges(pairs):
    graph = cpdag_of(Graph.dag(NODES, [(NODES[i], NODES[j]) for i, j in pairs]))
    counts = ballots_of(graph)
    assert np.all(counts.sum(axis=1) == 1)
    votes = Votes(names=NODES, counts=counts, num_ballots=1)
    np.testing.assert_array_equal(votes.adjacency() > 0, graph.marks() > 0)
    np.testing.assert_array_equal(votes.direction() > 0, graph.marks() == 2)


def test_votes_of_sites_add_up():
    first = ballots_of(Graph.dag(NODES, [("a", "b")]))
    second = ballots_of(Graph.dag(NODES, [("b", "a"), ("c", "d")]))
    votes = Votes(names=NODES, counts=first + second, num_ballots=2)
    assert votes.shares("a", "b")["forward"] == 0.5
    assert votes.shares("b", "a")["backward"] == 0.5
    assert votes.shares("d", "c") == {
        "none": 0.5,
        "forward": 0.0,
        "backward": 0.5,
        "undirected": 0.0,
        "bidirected": 0.0,
        "circle": 0.0,
    }
    assert votes.adjacency()[0, 1] == 2


def test_places_map_a_smaller_graph_into_the_schema():
    graph = Graph.cpdag(("p", "q"), directed=[("p", "q")])
    counts = pair_votes(pdag_of(graph), [3, 1], 4)
    votes = Votes(names=NODES, counts=counts, num_ballots=1)
    assert votes.shares("d", "b")["forward"] == 1.0
    assert counts[:, Ballot.NONE].sum() == 5


def test_totals_that_are_no_votes_are_refused():
    counts = ballots_of(Graph.dag(NODES, []))
    with pytest.raises(ProtocolError, match="ballots"):
        Votes(names=NODES, counts=counts, num_ballots=2)
    with pytest.raises(ProtocolError, match="differ in number"):
        Votes(names=("a", "b"), counts=counts, num_ballots=1)
    assert num_entries(4) == counts.size
