"""PC on tables: against causal-learn where nothing is withheld, and its laws."""

import numpy as np
import pytest
from causallearn.search.ConstraintBased.PC import pc as causal_learn_pc

from fedcausal.data.table import Table
from fedcausal.discovery.discrete_pc import DiscretePC
from fedcausal.errors import FedCausalError, InputError
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.tables_kind import TablesKind
from fedcausal.study import Study
from fedcausal_privacy.secure_sum.oracle import plain_sum

NAMES = ("a", "b", "c", "d", "e", "f")
LEVELS = (2, 3, 2, 3, 2, 2)


def study_of(*, min_cell=5, knowledge=None, num_levels=LEVELS):
    return Study.model_validate(
        {
            "variables": {
                name: {"kind": "categorical", "categories": [f"l{k}" for k in range(size)]}
                for name, size in zip(NAMES, num_levels, strict=True)
            },
            "discovery": {"algorithm": "pc", "tests": "tables", "alpha": 0.01},
            "privacy": {"min_cell": min_cell},
            "knowledge": knowledge or {},
        }
    )


def sample(num_rows, seed, *, degree=2.0):
    """Rows of a random network over NAMES, parents first; and its edges."""
    rng = np.random.default_rng(seed)
    codes, edges = [], []
    for j, size in enumerate(LEVELS):
        parents = [i for i in range(j) if rng.random() < degree / (len(NAMES) - 1)]
        edges += [frozenset((i, j)) for i in parents]
        shape = [LEVELS[i] for i in parents]
        shares = rng.dirichlet([1.0] * size, size=shape)
        ends = shares[tuple(codes[i] for i in parents)].cumsum(axis=-1)
        codes.append((rng.random((num_rows, 1)) > ends).sum(axis=-1))
    return np.column_stack(codes).astype(float), set(edges)


def search(study, tables):
    """Walk a whole search; the states of it."""
    states = [DiscretePC.begin(study)]
    while not states[-1].done:
        request = states[-1].request
        spec = derive_spec(study, request, max(len(tables), 3))
        rng = np.random.default_rng(0)
        vectors = [TablesKind().compute(study, request, table, rng) for table in tables]
        states.append(states[-1].take(plain_sum(vectors, spec)))
    return states


def skeleton(graph):
    return {frozenset(map(graph.index, (e.source, e.target))) for e in graph.edges}


@pytest.mark.parametrize("seed", range(8))
def test_without_withheld_cells_the_skeleton_is_causal_learns(seed):
    # Both test with G2 at the same level; ours tests with every set of a level, not until one
    # parts the pair, which changes no skeleton.
    values, _ = sample(5000, seed)
    study = study_of(min_cell=1)
    found = search(study, [Table(study.schema(), values)])[-1].discovery()
    theirs = causal_learn_pc(values, 0.01, "gsq", show_progress=False).G.graph
    assert skeleton(found.graph) == {frozenset(p) for p in np.argwhere(theirs != 0).tolist()}


@pytest.mark.parametrize("num_sites", [3, 10])
def test_the_graph_does_not_depend_on_the_split(num_sites):
    values, _ = sample(2000, 3)
    study = study_of()
    whole = Table(study.schema(), values)
    owner = np.random.default_rng(0).integers(0, num_sites, 2000)
    split = search(study, [whole.take(owner == k) for k in range(num_sites)])[-1]
    one = search(study, [whole])[-1]
    assert split.discovery() == one.discovery()


def test_withheld_cells_and_missing_values_leave_most_of_the_skeleton():
    shares = []
    for seed in range(6):
        values, edges = sample(3000, seed)
        values[np.random.default_rng(seed).random(values.shape) < 0.05] = np.nan
        study = study_of()
        found = skeleton(search(study, [Table(study.schema(), values)])[-1].discovery().graph)
        shares.append(2 * len(found & edges) / (len(found) + len(edges)))
    assert np.mean(shares) > 0.85


def test_one_round_per_level_and_only_the_tables_it_needs():
    values, _ = sample(3000, 1)
    study = study_of()
    states = search(study, [Table(study.schema(), values)])
    asked = [s.request.parameters["sets"] for s in states if s.request is not None]
    assert len(asked[0]) == 15
    for level, (sets, state) in enumerate(zip(asked, states, strict=False)):
        assert all(len(names) == level + 2 for names in sets)
        for names in sets if level else ():
            places = [NAMES.index(name) for name in names]
            joined = sum(state.adjacency[i] >> j & 1 for i in places for j in places) // 2
            assert joined >= level + 1
    assert states[-1].level <= len(asked) + 2


def test_knowledge_is_honoured_and_forbidden_pairs_are_never_tested(monkeypatch):
    tested = []
    original = DiscretePC._p_value

    def watched(self, i, j, given):
        tested.append({i, j})
        return original(self, i, j, given)

    monkeypatch.setattr(DiscretePC, "_p_value", watched)
    for seed in range(4):
        values, _ = sample(3000, seed)
        knowledge = {
            "tiers": [["f"], ["e", "d"]],
            "required": [["c", "a"]],
            "forbidden": [["a", "b"], ["b", "a"], ["c", "d"]],
        }
        study = study_of(knowledge=knowledge)
        found = search(study, [Table(study.schema(), values)])[-1].discovery()
        known = study.knowledge_base()
        assert known.violations(found.graph) == known.violations(found.dag) == []
        assert ("c", "a") in found.graph.directed_edges
    assert {0, 1} not in tested
    assert {0, 2} not in tested


def test_all_pairs_forbidden_ask_for_nothing():
    pairs = [[x, y] for x in NAMES for y in NAMES if x != y]
    state = DiscretePC.begin(study_of(knowledge={"forbidden": pairs}))
    assert state.done
    assert state.discovery().graph.edges == ()


def test_steps_out_of_turn_are_refused():
    values, _ = sample(400, 0)
    study = study_of()
    states = search(study, [Table(study.schema(), values)])
    with pytest.raises(FedCausalError, match="has asked for more tables"):
        states[0].discovery()
    with pytest.raises(FedCausalError, match="takes no further tables"):
        states[-1].take(None)


def test_a_handful_of_records_is_refused():
    study = study_of()
    with pytest.raises(InputError, match=r"fewer records than privacy\.min_cell"):
        search(study, [Table(study.schema(), np.zeros((3, 6)))])


def test_notes_say_what_rests_on_margins():
    values, _ = sample(600, 5, degree=4.0)
    study = study_of()
    last = search(study, [Table(study.schema(), values)])[-1]
    assert last.tally.from_margins > 0
    assert "were made on the tables of its margins" in last.discovery().notes[0]
