"""Order search on tables: its rounds, its invariances, knowledge, and what it finds."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.discovery import table_search
from fedcausal.discovery.order_search import STOPPED
from fedcausal.discovery.table_search import TableSearch
from fedcausal.errors import FedCausalError
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.tables_kind import TablesKind
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

NAMES, LEVELS = ("a", "b", "c", "d", "e", "f"), (2, 3, 2, 3, 2, 2)


def study_of(*, min_cell=5, knowledge=None, **discovery):
    return Study.model_validate(
        {
            "variables": {
                name: {"kind": "categorical", "categories": [f"l{k}" for k in range(size)]}
                for name, size in zip(NAMES, LEVELS, strict=True)
            },
            "discovery": {"tests": "tables", "restarts": 1, **discovery},
            "privacy": {"min_cell": min_cell},
            "knowledge": knowledge or {},
        }
    )


def sample(num_rows, seed):
    """Rows of a random network over NAMES, parents first; and its edges."""
    rng = np.random.default_rng(seed)
    codes, edges = [], set()
    for j, size in enumerate(LEVELS):
        parents = [i for i in range(j) if rng.random() < 0.4]
        edges |= {frozenset((NAMES[i], NAMES[j])) for i in parents}
        shares = rng.dirichlet([1.0] * size, size=[LEVELS[i] for i in parents])
        ends = shares[tuple(codes[i] for i in parents)].cumsum(axis=-1)
        codes.append((rng.random((num_rows, 1)) > ends).sum(axis=-1))
    return np.column_stack(codes).astype(float), edges


def search(study, tables, seed=0):
    states = [TableSearch.begin(study, seed=seed)]
    while states[-1].request is not None:
        request = states[-1].request
        spec = derive_spec(study, request, max(len(tables), 3))
        vectors = [
            TablesKind().compute(study, request, t, np.random.default_rng(0)) for t in tables
        ]
        states.append(states[-1].take(plain_sum(vectors, spec)))
    return states


def skeleton(graph):
    return {frozenset((e.source, e.target)) for e in graph.edges}


@pytest.mark.parametrize("score", ["bdeu", "bic"])
def test_it_finds_most_of_the_skeleton_with_cells_and_values_missing(score):
    shares = []
    for seed in range(5):
        values, edges = sample(4000, seed)
        values[np.random.default_rng(seed).random(values.shape) < 0.03] = np.nan
        study = study_of(score=score)
        found = skeleton(search(study, [Table(study.schema(), values)])[-1].discovery().graph)
        shares.append(2 * len(found & edges) / (len(found) + len(edges)))
    assert np.mean(shares) > 0.85


def test_the_graph_does_not_depend_on_the_split():
    values, _ = sample(2000, 3)
    study = study_of()
    whole = Table(study.schema(), values)
    owner = np.random.default_rng(0).integers(0, 7, 2000)
    one = search(study, [whole])[-1].discovery()
    split = search(study, [whole.take(owner == k) for k in range(7)])[-1].discovery()
    assert (one.graph, one.score) == (split.graph, split.score)


def test_three_rounds_of_growing_families_of_candidates(monkeypatch):
    monkeypatch.setattr(table_search, "CANDIDATES", (3, 3))
    values, _ = sample(4000, 1)
    study = study_of()
    asked = [
        s.request.parameters["sets"]
        for s in search(study, [Table(study.schema(), values)])
        if s.request is not None
    ]
    assert len(asked[0]) == 15
    assert [{len(names) for names in sets} for sets in asked] == [{2}, {3}, {4}]
    assert len(asked[1]) < 20


def test_knowledge_is_honoured():
    knowledge = {
        "tiers": [["f"], ["e", "d"]],
        "required": [["c", "a"], ["b", "a"]],
        "forbidden": [["a", "d"], ["d", "a"]],
    }
    for seed in range(4):
        values, _ = sample(2000, seed)
        study = study_of(knowledge=knowledge)
        found = search(study, [Table(study.schema(), values)])[-1].discovery()
        known = study.knowledge_base()
        assert known.violations(found.graph) == known.violations(found.dag) == []
        assert {("c", "a"), ("b", "a")} <= set(found.dag.directed_edges)


def test_families_with_too_many_cells_are_left_out_and_said(monkeypatch):
    monkeypatch.setattr(table_search, "MAX_TABLE_CELLS", 15)
    values, _ = sample(3000, 1)
    study = study_of(min_cell=1, penalty=0.01)
    last = search(study, [Table(study.schema(), values)])[-1]
    assert last.left_out > 0
    assert "families were not considered" in last.discovery().notes[0]


def test_a_time_limit_stops_the_climbs_and_is_said():
    values, _ = sample(2000, 1)
    study = study_of()
    last = search(study, [Table(study.schema(), values)])[-1]
    stopped = replace(last, time_limit_seconds=0.0).discovery()
    assert stopped.notes[-1] == STOPPED
    assert stopped.num_scores < last.discovery().num_scores
    assert STOPPED not in last.discovery().notes


def test_withheld_cells_are_completed_around_the_network_found(monkeypatch):
    values, _ = sample(800, 0)
    study = study_of(min_cell=20)
    last = search(study, [Table(study.schema(), values)])[-1]
    assert last.tables.gaps
    completed = last.discovery()
    monkeypatch.setattr(table_search, "COMPLETIONS", ((1.0,),))
    alone = last.discovery()
    assert completed.num_scores > alone.num_scores
    assert completed.score != alone.score


def test_of_the_networks_found_the_one_that_fits_what_was_released_is_taken(monkeypatch):
    values, _ = sample(3000, 1)
    study = study_of(min_cell=20)
    last = search(study, [Table(study.schema(), values)])[-1]
    monkeypatch.setattr(table_search, "COMPLETIONS", ((1e6,), (1.0,), (1e5,)))
    found = last.discovery()
    assert found.graph.edges
    monkeypatch.setattr(table_search, "COMPLETIONS", ((1.0,),))
    assert last.discovery().graph == found.graph


def test_nothing_withheld_takes_one_search(monkeypatch):
    values, _ = sample(800, 0)
    study = study_of(min_cell=1)
    last = search(study, [Table(study.schema(), values)])[-1]
    found = last.discovery()
    monkeypatch.setattr(table_search, "COMPLETIONS", ())
    assert last.discovery().graph == found.graph


def test_steps_out_of_turn_are_refused():
    values, _ = sample(400, 0)
    study = study_of()
    states = search(study, [Table(study.schema(), values)])
    with pytest.raises(FedCausalError, match="has asked for more tables"):
        states[0].discovery()
    with pytest.raises(FedCausalError, match="takes no further tables"):
        states[-1].take(None)
