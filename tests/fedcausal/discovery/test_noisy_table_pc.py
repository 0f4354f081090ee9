import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.discovery.noisy_table_pc import NoisyTablePC
from fedcausal.errors import FedCausalError
from fedcausal.statistics.derive import derive_spec, kind_of
from fedcausal.statistics.noisy_tables_kind import NUM_ROUNDS
from fedcausal.steps.graph import tables_graph
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

STUDY = Study.model_validate(
    {
        "variables": {name: {"kind": "binary"} for name in "abcd"},
        "discovery": {"tests": "tables", "algorithm": "pc"},
        "privacy": {"graph": {"epsilon": 4.0}},
    }
)


def chain(num_rows, seed):
    """a -> b -> c and d alone; each copies its cause with probability .85."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 2, num_rows)
    b = np.where(rng.random(num_rows) < 0.85, a, 1 - a)
    c = np.where(rng.random(num_rows) < 0.85, b, 1 - b)
    values = np.column_stack([a, b, c, rng.integers(0, 2, num_rows)])
    return Table(STUDY.schema(), values.astype(float))


@pytest.fixture(scope="module")
def search(seeded_noise):
    found, noise, rounds = NoisyTablePC.begin_private(STUDY, 4), seeded_noise(1), 0
    sites = [chain(2500, seed) for seed in range(4)]
    while found.request is not None:
        request, rounds = found.request, rounds + 1
        kind, spec = kind_of(request), derive_spec(STUDY, request, 4)
        vectors = [
            kind.compute_private(STUDY, request, site, num_sites=4, noise=noise) for site in sites
        ]
        assert all(np.abs(v).max() <= spec.bound for v in vectors)
        found = found.take(apply_cell_rule(sum(vectors), spec))
    assert rounds <= NUM_ROUNDS
    return found


def test_the_skeleton_is_found_through_the_noise(search):
    graph = search.discovery().graph
    assert {frozenset((e.source, e.target)) for e in graph.edges} == {
        frozenset("ab"),
        frozenset("bc"),
    }
    assert abs(search.tables.num_records - 10_000) < 500


def test_the_notes_say_that_there_is_noise(search):
    assert any("tables have noise" in note for note in tables_graph(STUDY, search).notes)


def test_it_takes_no_more_than_it_asked_for(search):
    with pytest.raises(FedCausalError, match="takes no further tables"):
        search.take(None)


def test_the_first_round_asks_for_all_pairs():
    begun = NoisyTablePC.begin_private(STUDY, 4)
    assert len(begun.request.parameters["sets"]) == 6
    with pytest.raises(FedCausalError, match="not done"):
        begun.discovery()
