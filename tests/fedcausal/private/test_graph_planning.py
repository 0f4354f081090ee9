"""The plan against what happens: noise, clipping and error of simulated releases."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import InputError, StudyError
from fedcausal.private.noisy_totals import noisy_covariance
from fedcausal.private.planning import plan_graph, plan_lines, plan_warnings
from fedcausal.statistics.noisy_gram_kind import (
    NoisyGramKind,
    noisy_gram_release,
    noisy_gram_request,
)
from fedcausal.statistics.scale_kind import ScaleKind, scale_release, scale_request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule


def _study(size=8, epsilon=1.0, **privacy):
    graph = {} if epsilon is None else {"graph": {"epsilon": epsilon}}
    return Study.model_validate(
        {
            "variables": {
                f"v{i}": {"kind": "continuous", "bounds": [-12, 12]} for i in range(size)
            },
            "discovery": {"site_effects": "pool"},
            "privacy": {**graph, **privacy},
        }
    )


def _released(study, sites, noise):
    """The noisy totals of a study, through both kinds, without cryptography."""

    def total(kind, request):
        tables = [Table(study.schema(), rows) for rows in sites]
        vectors = [
            kind.compute_private(study, request, t, num_sites=len(sites), noise=noise)
            for t in tables
        ]
        return apply_cell_rule(sum(vectors), kind.spec(study, request, len(sites)))

    first = scale_request()
    scales = scale_release(study, first, total(ScaleKind(), first), len(sites))
    second = noisy_gram_request(study, scales, len(sites))
    return noisy_gram_release(study, second, total(NoisyGramKind(), second), len(sites))


def _rows(num_rows, rng, size=8):
    """A chain of linear mechanisms."""
    rows = rng.standard_normal((num_rows, size))
    for j in range(1, size):
        rows[:, j] += 0.7 * rows[:, j - 1]
    return rows.clip(-12, 12)


@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_predicted_noise_and_error_are_what_happens(epsilon, seeded_noise):
    """Over 4 studies of 6000 records at 5 sites: noise within 30 %, error within a factor of 2."""
    study, errors, noises, records = _study(epsilon=epsilon), [], [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = _rows(6000, rng)
        totals = _released(study, np.array_split(rows, 5), seeded_noise(seed))
        found = noisy_covariance(totals)
        gap = np.abs(found.covariance - np.corrcoef(rows.T))[np.triu_indices(8, 1)]
        errors.append(gap.mean())
        noises.append(found.noise.typical)
        records.append(1 / (1 / found.noise.num_records + found.noise.typical**2))
    plan = plan_graph(study, num_records=6000, num_sites=5)
    assert np.mean(noises) == pytest.approx(plan.noise, rel=0.3)
    assert np.mean(records) == pytest.approx(plan.effective_records, rel=0.3)
    # A chain is bent more by clipping than the average graph that the plan assumes.
    assert 0.5 < np.mean(errors) / plan.correlation_error < 2.0


def test_more_budget_or_more_records_mean_less_noise():
    plans = [
        plan_graph(_study(epsilon=e), num_records=n, num_sites=5)
        for e, n in ((1.0, 1000), (1.0, 10_000), (8.0, 10_000))
    ]
    assert plans[0].noise > plans[1].noise > plans[2].noise
    assert plans[0].smallest_visible > plans[1].smallest_visible > plans[2].smallest_visible


def test_without_an_epsilon_records_are_worth_what_they_are():
    study = _study(epsilon=None)
    plan = plan_graph(study, num_records=1000, num_sites=3)
    assert (plan.noise, plan.clipping) == (0.0, 0.0)
    assert plan.effective_records == pytest.approx(1000)
    assert plan_warnings(plan) == ()
    assert "graph: no differential privacy; exact sums" in plan_lines(study, plan)


def test_a_hopeless_study_is_told_what_it_needs():
    study = _study(size=30, epsilon=0.5)
    plan = plan_graph(study, num_records=1500, num_sites=5)
    (warning,) = plan_warnings(plan)
    assert warning.startswith("hopeless")
    assert str(plan.records_needed) in warning
    enough = plan_graph(study, num_records=plan.records_needed, num_sites=5)
    assert plan_warnings(enough) == ()
    between = plan_graph(study, num_records=int(plan.records_needed * 0.7), num_sites=5)
    assert plan_warnings(between)[0].startswith("weak")


def test_the_division_of_the_budget_is_told():
    study = Study.model_validate({**_study().to_json(), "discovery": {"site_effects": "center"}})
    text = "\n".join(plan_lines(study, plan_graph(study, num_records=5000, num_sites=5)))
    for said in ("epsilon 1 at delta 1e-05", "scales of the variables: 8%", "private means: 8%"):
        assert said in text


def test_impossible_plans_are_refused():
    with pytest.raises(InputError, match="--rows 5: expected at least 6"):
        plan_graph(_study(), num_records=5, num_sites=3)
    with pytest.raises(StudyError, match="min_sites"):
        plan_graph(_study(), num_records=500, num_sites=2)
    with pytest.raises(StudyError, match=r"privacy\.colluding_sites: expected at most 1 of 3"):
        plan_graph(_study(colluding_sites=2), num_records=500, num_sites=3)


@pytest.mark.parametrize(
    ("privacy", "told"),
    [
        ({}, "closed form from noisy sums: it predicted better"),
        ({"max_rows": 5000}, "at most 0.1"),
        ({"max_rows": 50}, "DP-SGD over 5 rounds: noise makes"),
    ],
)
def test_the_model_of_a_private_study_is_told_with_its_reason(privacy, told):
    study = _study(model={"epsilon": 1.0}, **privacy)
    lines = plan_lines(study, plan_graph(study, num_records=5000, num_sites=5))
    (line,) = [line for line in lines if line.startswith("model:")]
    assert told in line
    is_closed = "closed form" in line
    assert any("noise in a fitted linear mean" in line for line in lines) is is_closed
    assert any("answered from the noised model" in line for line in lines) is is_closed
