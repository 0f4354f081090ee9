"""FCI on covariances against causal-learn's FCI on the rows, and with knowledge."""

import contextlib
import io

import numpy as np
import pytest
from causallearn.search.ConstraintBased.FCI import fci as fci_on_rows

from fedcausal.discovery.fci import contradictions, fci, fci_pattern
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.equivalence import is_d_separated
from fedcausal.graph import Edge, Graph, Mark

OPTIONS = DiscoveryOptions(algorithm="fci")


def marks_on_rows(rows, alpha):
    """causal-learn: entry [i, j] is the mark at i; -1 tail, 1 arrow, 2 circle. It prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        graph, _ = fci_on_rows(rows, "fisherz", alpha, show_progress=False)
    at_column = graph.graph.T
    return np.select([at_column == -1, at_column == 1, at_column == 2], [1, 2, 3])


@pytest.mark.parametrize("seed", range(20))
def test_marks_are_those_of_causal_learn_on_the_rows(simulate, seed):
    size = 5 + seed % 4
    study = simulate(size, seed=seed, degree=2.5, num_rows=1000)
    # Some columns stay hidden, so that the graphs have circles and two-headed arrows.
    seen = [i for i in range(size) if i % 4]
    names = tuple(study.statistics.names[i] for i in seen)
    statistics = study.statistics
    hidden = type(statistics)(
        names=names,
        blocks={name: (k,) for k, name in enumerate(names)},
        covariance=statistics.covariance[np.ix_(seen, seen)],
        num_records=statistics.num_records[np.ix_(seen, seen)],
    )
    found = fci(hidden, Knowledge(nodes=names), OPTIONS)
    np.testing.assert_array_equal(
        found.graph.marks(), marks_on_rows(study.rows[:, seen], OPTIONS.alpha)
    )
    assert found.dag is None
    assert found.graph.kind == "pag"


class Oracle:
    def __init__(self, dag, names):
        self.dag, self.names = dag, names

    def p_value(self, first, second, given=()):
        others = [self.names[k] for k in given]
        ends = [self.names[first]], [self.names[second]]
        return float(is_d_separated(self.dag, *ends, others))


def pattern(dag, names, **known):
    return fci_pattern(Oracle(dag, names), Knowledge(nodes=names, **known), 0.05).graph


def edges_of(graph):
    return {f"{edge.source} {edge.sign} {edge.target}" for edge in graph.edges}


def test_a_hidden_common_cause_shows_as_two_arrowheads():
    dag = Graph.dag("abcdu", [("a", "b"), ("d", "c"), ("u", "b"), ("u", "c")])
    assert edges_of(pattern(dag, tuple("abcd"))) == {"a o-> b", "b <-> c", "d o-> c"}


def test_tiers_put_an_arrowhead_at_the_later_end_and_no_more():
    confounded = Graph.dag("abu", [("u", "a"), ("u", "b")])
    assert edges_of(pattern(confounded, ("a", "b"))) == {"a o-o b"}
    assert edges_of(pattern(confounded, ("a", "b"), tiers=(("a",), ("b",)))) == {"a o-> b"}
    assert edges_of(pattern(confounded, ("a", "b"), forbidden=(("b", "a"),))) == {"a o-> b"}
    assert edges_of(pattern(confounded, ("a", "b"), required=(("b", "a"),))) == {"b -> a"}


def test_a_pair_parted_by_knowledge_alone_is_no_collider():
    chain = Graph.dag("abc", [("a", "b"), ("b", "c")])
    both = (("a", "c"), ("c", "a"))
    assert edges_of(pattern(chain, tuple("abc"), forbidden=both)) == {"a o-o b", "b o-o c"}


def test_a_path_of_tails_against_the_tiers_is_left_open():
    # The orientation rules make c a cause of e; tiers say that d, which causes c, is later than e.
    dag = Graph.dag("abcde", [("a", "c"), ("b", "c"), ("c", "e"), ("d", "c")])
    names = tuple("abcde")
    free = pattern(dag, names, required=(("d", "c"),))
    assert "d" in free.ancestors("e")
    tiers = {"tiers": (("e",), ("d",)), "required": (("d", "c"),)}
    found = fci_pattern(Oracle(dag, names), Knowledge(nodes=names, **tiers), 0.05)
    assert found.is_weakened
    assert "d" not in found.graph.ancestors("e")
    assert contradictions(found.graph, Knowledge(nodes=names, **tiers)) == []


def test_contradictions_are_named():
    knowledge = Knowledge(
        nodes=tuple("abc"), tiers=(("a",), ("b",)), forbidden=(("a", "c"), ("c", "a"))
    )
    circle = Edge(source="a", target="b", source_mark=Mark.CIRCLE, target_mark=Mark.CIRCLE)
    pag = Graph(kind="pag", nodes=tuple("abc"), edges=(circle, Edge.undirected("a", "c")))
    found = contradictions(pag, knowledge)
    assert any("b -> a is forbidden, but b o-o a" in text for text in found)
    assert any("a and c must not be joined" in text for text in found)
    detour = Graph(
        kind="pag", nodes=tuple("abc"), edges=(Edge.directed("b", "c"), Edge.directed("c", "a"))
    )
    tiers = Knowledge(nodes=tuple("abc"), tiers=(("a",), ("b",)))
    assert contradictions(detour, tiers) == ["b causes a, of an earlier tier"]


def test_levels_are_tested_as_blocks_and_sets_are_named(simulate):
    study = simulate(5, seed=3, widths=[1, 2, 1, 3, 1], num_rows=2000)
    found = fci(study.statistics, Knowledge(nodes=study.statistics.names), OPTIONS)
    assert found.num_tests > 0
    for (first, second), given in found.separating_sets.items():
        assert not found.graph.adjacent(first, second)
        assert set(given) <= set(study.statistics.names) - {first, second}
