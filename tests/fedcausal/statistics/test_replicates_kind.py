"""Bootstrap Grams as a statistic: their law, their cap and what is withheld from them."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import DataError, InputError, ProtocolError
from fedcausal.statistics.gram_kind import GramKind, gram_release, gram_request
from fedcausal.statistics.kind import Request
from fedcausal.statistics.replicates_kind import (
    RELEASE_CAP,
    ReplicatesKind,
    most_replicates,
    replicates_release,
    replicates_request,
)
from fedcausal.study import Study
from fedcausal.study_file.sections import PartPrivacy
from fedcausal_privacy.secure_sum.oracle import plain_sum
from fedcausal_privacy.statistic_spec import Released

KIND = ReplicatesKind()
GRAM = gram_request()


def study_of(**sections):
    return Study.model_validate(
        {
            "variables": {
                "x": {"kind": "continuous", "bounds": [-10, 10]},
                "y": {"kind": "continuous", "bounds": [-10, 10]},
            },
            **sections,
        }
    )


def sites_of(study, sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Table(study.schema(), rng.multivariate_normal([k, 0], [[1, 0.5], [0.5, 1]], size))
        for k, size in enumerate(sizes)
    ]


def summed(study, request, sites, seed=1):
    spec = KIND.spec(study, request, len(sites))
    rngs = np.random.default_rng(seed).spawn(len(sites))
    vectors = [KIND.compute(study, request, s, rng) for s, rng in zip(sites, rngs, strict=True)]
    return plain_sum(vectors, spec)


def test_the_first_gram_is_that_of_all_rows():
    study = study_of()
    sites = sites_of(study, [200, 300, 150])
    released = summed(study, replicates_request(GRAM, 4, 650), sites)
    spec = GramKind().spec(study, GRAM, 3)
    alone = plain_sum([GramKind().compute(study, GRAM, s, None) for s in sites], spec)
    np.testing.assert_array_equal(released.totals[: spec.length], alone.totals)


@pytest.mark.parametrize("effects", ["center", "pool", "standardize"])
def test_replicates_vary_as_bootstraps_of_the_rows_do(effects):
    # Correlation .5 on 900 records: standard error (1 - r^2) / sqrt(n) = .025.
    study = study_of(discovery={"site_effects": effects})
    sites = sites_of(study, [300, 300, 300])
    request = replicates_request(GRAM, 40, 900)
    replicates = list(replicates_release(study, request, summed(study, request, sites), 3))
    spec = GramKind().spec(study, GRAM, 3)
    whole = plain_sum([GramKind().compute(study, GRAM, s, None) for s in sites], spec)
    totals = gram_release(study, GRAM, whole, 3)
    found = np.array([correlation(r) for r in replicates])
    assert len(replicates) == 40
    assert abs(found.mean() - correlation(totals)) < 0.02
    assert 0.6 < found.std() / ((1 - correlation(totals) ** 2) / np.sqrt(900)) < 1.5
    rows = [r.num_rows for r in replicates]
    assert len(set(rows)) > 10
    assert abs(np.mean(rows) - 900) < 4 * 30 / np.sqrt(40)


def correlation(totals):
    s = totals.products
    return s[0, 1] / np.sqrt(s[0, 0] * s[1, 1])


def test_weights_are_the_sites_own_secret_and_repeat_with_its_generator():
    study = study_of()
    site, request = sites_of(study, [100])[0], replicates_request(GRAM, 2, 400)
    first, second, other = (
        KIND.compute(study, request, site, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_cap_counts_released_sums_against_values():
    study = study_of()
    spec = GramKind().spec(study, GRAM, 3)
    num_sums = spec.length - len(spec.counts)
    most = most_replicates(study, GRAM, 900, 3)
    assert (1 + most) * num_sums <= RELEASE_CAP * 900 * 2 < (2 + most) * num_sums
    KIND.spec(study, replicates_request(GRAM, most, 900), 3)
    with pytest.raises(InputError, match=f"exceed the cap of {most}; ask for fewer"):
        KIND.spec(study, replicates_request(GRAM, most + 1, 900), 3)
    assert most_replicates(study, GRAM, 3, 3) == 0


def test_a_count_withheld_from_the_gram_is_withheld_from_every_replicate():
    study = Study.model_validate(
        {
            "variables": {
                "g": {"kind": "categorical", "categories": ["a", "b", "c", "d"]},
                "y": {"kind": "continuous", "bounds": [-10, 10]},
            },
            "discovery": {"site_effects": "pool"},
        }
    )
    # Four records of the last level: many a replicate has five or more of them.
    group = np.repeat([0.0, 1.0, 2.0, 3.0], [500, 300, 200, 4])
    values = np.column_stack([group, np.random.default_rng(0).normal(size=1004)])
    request = replicates_request(GRAM, 8, 1004)
    released = summed(study, request, [Table(study.schema(), values)] * 1)
    length = GramKind().spec(study, GRAM, 3).length
    base = released.withheld[:length]
    assert base.any()
    for start in range(length, len(released.withheld), length):
        assert released.withheld[start : start + length][base].all()


def test_requests_that_do_not_fit_are_refused():
    study = study_of()
    site = sites_of(study, [100])[0]
    with pytest.raises(DataError, match="refuse the study"):
        KIND.compute(study, replicates_request(GRAM, 1, 99), site, np.random.default_rng(0))
    for parameters in ({}, {"gram": GRAM.to_json(), "replicates": 0, "records": 9}):
        with pytest.raises(ProtocolError):
            KIND.spec(study, Request(kind="replicates", parameters=parameters), 3)
    odd = Released(totals=np.zeros(7, dtype=np.int64), withheld=np.zeros(7, dtype=bool))
    with pytest.raises(ProtocolError, match="expected 3 Grams"):
        list(replicates_release(study, replicates_request(GRAM, 2, 900), odd, 3))
    full = study_of(privacy={"max_rows": 4})
    tight = Table(study.schema(), np.zeros((500, 2)))
    with pytest.raises(DataError, match="expected 2 to 4 rows at one site"):
        KIND.compute(full, replicates_request(GRAM, 1, 999), tight, np.random.default_rng(0))


def test_saturation_is_that_of_one_gram():
    study = study_of()
    assert KIND.width(study, replicates_request(GRAM, 3, 900)) == GramKind().width(study, GRAM)


def test_under_a_graph_epsilon_replicates_are_refused():
    study = study_of()
    private = study.privacy.model_copy(update={"graph": PartPrivacy(epsilon=1.0)})
    noisy = study.model_copy(update={"privacy": private})
    with pytest.raises(InputError, match=r'write resampling = "wishart" under privacy\.graph'):
        KIND.spec(noisy, replicates_request(GRAM, 1, 900), 3)
