"""The sites' votes as a statistic."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.discovery.local import LocalVotes, decode_votes
from fedcausal.errors import InputError, ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released

REQUEST = Request(kind="votes")


def study_of(knowledge=None, names=("x", "y", "z", "w"), bootstraps=6):
    variables = {name: {"kind": "continuous", "bounds": [-50.0, 50.0]} for name in names}
    return Study.model_validate(
        {
            "study": {"name": "votes", "question": "which edges?"},
            "variables": variables,
            "knowledge": knowledge or {},
            "discovery": {"vote_bootstraps": bootstraps},
        }
    )


def chain(seed, num_rows=400):
    """z -> x <- w and x -> y, in the study's public order of variables."""
    rng = np.random.default_rng(seed)
    z, w = rng.standard_normal((2, num_rows))
    x = z + w + rng.standard_normal(num_rows)
    y = x + rng.standard_normal(num_rows)
    return {"w": w, "x": x, "y": y, "z": z}


def table_of(study, columns):
    return Table(study.schema(), np.column_stack([columns[n] for n in study.schema().names]))


def total(study, tables):
    kind = LocalVotes()
    vectors = [
        kind.compute(study, REQUEST, table, np.random.default_rng(seed))
        for seed, table in enumerate(tables)
    ]
    bound = kind.spec(study, REQUEST, len(tables)).bound
    assert all(np.abs(vector).max() <= bound for vector in vectors)
    sums = np.sum(vectors, axis=0)
    return Released(totals=sums, withheld=np.zeros(len(sums), dtype=bool))


def test_three_sites_find_the_collider():
    study = study_of()
    released = total(study, [table_of(study, chain(seed)) for seed in range(3)])
    votes = decode_votes(study, REQUEST, released, 3)
    assert votes.num_ballots == 18
    assert votes.shares("z", "x")["forward"] > 0.8
    assert votes.shares("x", "w")["backward"] > 0.8
    assert votes.shares("x", "y")["forward"] > 0.8
    assert votes.shares("z", "y")["none"] > 0.8


def test_totals_are_sums_of_what_each_site_says():
    study = study_of()
    tables = [table_of(study, chain(seed)) for seed in range(2)]
    both = decode_votes(study, REQUEST, total(study, tables), 2)
    kind = LocalVotes()
    alone = [
        kind.compute(study, REQUEST, table, np.random.default_rng(seed)).reshape(-1, 6)
        for seed, table in enumerate(tables)
    ]
    np.testing.assert_array_equal(both.counts, alone[0] + alone[1])


def test_spec_is_public_and_marks_no_counts():
    study = study_of()
    spec = LocalVotes().spec(study, REQUEST, 3)
    assert (spec.length, spec.bound, spec.counts) == (36, 6, ())
    assert LocalVotes().width(study, REQUEST) == 0
    with pytest.raises(InputError, match="two variables"):
        LocalVotes().spec(study_of(names=("x",)), REQUEST, 3)


def test_knowledge_binds_the_sites_as_well():
    study = study_of({"tiers": [["y"], ["x", "z", "w"]], "forbidden": [["x", "z"], ["z", "x"]]})
    votes = decode_votes(study, REQUEST, total(study, [table_of(study, chain(0))]), 1)
    assert votes.shares("x", "z")["none"] == 1.0
    assert votes.shares("y", "x")["forward"] == 1.0


def test_a_constant_variable_joins_nothing():
    study = study_of()
    columns = chain(0) | {"x": np.full(400, 3.0)}
    votes = decode_votes(study, REQUEST, total(study, [table_of(study, columns)]), 1)
    assert all(votes.shares("x", other)["none"] == 1.0 for other in "wyz")


def test_a_constant_end_of_a_required_edge_makes_the_site_abstain():
    study = study_of({"required": [["x", "y"]]})
    columns = chain(0) | {"x": np.full(400, 3.0)}
    votes = decode_votes(study, REQUEST, total(study, [table_of(study, columns)]), 1)
    assert not votes.adjacency().any()


def test_totals_of_another_shape_or_number_of_sites_are_refused():
    study = study_of()
    released = total(study, [table_of(study, chain(0))])
    with pytest.raises(ProtocolError):
        decode_votes(study, REQUEST, released, 2)
    short = Released(totals=np.zeros(3, dtype=np.int64), withheld=np.zeros(3, dtype=bool))
    with pytest.raises(ProtocolError, match="not one of votes"):
        decode_votes(study, REQUEST, short, 1)
