"""The statistic "likelihoods": sums of log densities, guarded by their counts."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.candidates import candidates_of, unit_of
from fedcausal.model.families import families_request
from fedcausal.model.likelihoods import (
    MAX_LOG,
    STEPS,
    Likelihoods,
    decode_likelihoods,
    held,
    likelihoods_request,
)
from fedcausal.statistics.kind import Request
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def candidates(mixed_fit):
    return candidates_of(mixed_fit.grams, mixed_fit.mechanisms, {})


@pytest.fixture(scope="module")
def asked(mixed_fit, mixed_edges, candidates):
    return likelihoods_request(
        families_request(mixed_edges, mixed_fit.study.schema().names, {}), candidates
    )


def test_scores_are_means_of_log_densities(mixed_fit, asked, candidates, secure_total):
    study = mixed_fit.study
    found = decode_likelihoods(
        study, asked, secure_total(Likelihoods(), study, asked, mixed_fit.sites)
    )
    rows = Table.concatenate(mixed_fit.sites)
    columns = {name: rows.column(name) for name in rows.schema.names}
    assert set(found) == set(candidates)
    for node, own in candidates.items():
        unit = unit_of(own)
        assert found[node].num_records == rows.num_rows
        for name, mechanism in own.items():
            exact = mechanism.log_prob(columns[node], columns) + np.log(unit)
            score = found[node].scores[name]
            assert score == pytest.approx(np.clip(exact, -MAX_LOG, MAX_LOG).mean(), abs=1e-4)
    assert found["pressure"].chosen == "closed form"


def test_incomplete_records_count_where_they_are_complete(mixed_fit, asked):
    study = mixed_fit.study
    values = np.array(mixed_fit.sites[0].values)
    values[:100, study.schema().index("pressure")] = np.nan
    total = Likelihoods().compute(study, asked, Table(study.schema(), values), RNG)
    spec = Likelihoods().spec(study, asked, 3)
    by_node = dict(zip(sorted(asked.parameters["candidates"]), spec.counts, strict=True))
    assert total[by_node["age"]] == len(values)
    assert total[by_node["status"]] == total[by_node["pressure"]] == len(values) - 100
    empty = Table(study.schema(), values[:0])
    assert not Likelihoods().compute(study, asked, empty, RNG).any()


def test_few_records_are_withheld_with_their_sums(mixed_fit, asked):
    study = mixed_fit.study
    few = mixed_fit.sites[0].take(np.arange(study.privacy.min_cell - 1))
    spec = Likelihoods().spec(study, asked, 3)
    released = apply_cell_rule(Likelihoods().compute(study, asked, few, RNG), spec)
    assert released.withheld.all()
    assert decode_likelihoods(study, asked, released) == {}


def test_one_record_counts_sixteen_nats_at_most():
    assert held(np.array([-np.inf])) == -MAX_LOG * STEPS == -held(np.array([1e9]))
    assert held(np.array([np.nan])) == -MAX_LOG * STEPS


def test_nothing_to_choose_means_no_request(mixed_edges, mixed_fit):
    families = families_request(mixed_edges, mixed_fit.study.schema().names, {})
    alone = {"age": {"closed form": mixed_fit.mechanisms["age"]}}
    assert likelihoods_request(families, alone) is None


def test_the_width_is_that_of_one_node(mixed_fit, asked):
    assert Likelihoods().width(mixed_fit.study, asked) == 2


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"nobody": {"unit": 1.0, "mechanisms": []}},
        {"age": {"unit": 1.0}},
        {"age": {"unit": 0.0, "mechanisms": []}},
        {"age": {"unit": 1.0, "mechanisms": [["a", {}]]}},
        {"age": {"unit": 1.0, "mechanisms": ["ab", "cd"]}},
        {"age": {"unit": 1.0, "mechanisms": [["a", {}], ["a", {}]]}},
        {"age": {"unit": 1.0, "mechanisms": [["a", {}], ["b", {}]]}},
    ],
)
def test_malformed_requests_are_refused(mixed_fit, asked, content):
    parameters = {**asked.parameters, "candidates": content}
    with pytest.raises(ProtocolError, match=r"likelihoods: candidates"):
        Likelihoods().spec(mixed_fit.study, Request(kind="likelihoods", parameters=parameters), 3)
