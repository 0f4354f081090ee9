"""The plan against what happens: noise, clipping and error of simulated releases."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import InputError, StudyError
from fedcausal.private.graph_planning import plan_graph
from fedcausal.private.noisy_totals import noisy_covariance
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


def test_impossible_plans_are_refused():
    with pytest.raises(InputError, match="--rows 5: expected at least 6"):
        plan_graph(_study(), num_records=5, num_sites=3)
    with pytest.raises(StudyError, match="min_sites"):
        plan_graph(_study(), num_records=500, num_sites=2)
    with pytest.raises(StudyError, match=r"privacy\.colluding_sites: expected at most 1 of 3"):
        plan_graph(_study(colluding_sites=2), num_records=500, num_sites=3)
