import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import FedCausalError
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import Released


def test_means_are_pooled_and_products_are_within_sites(mixed_fit):
    pressure = mixed_fit.grams["pressure"]
    rows = Table.concatenate(mixed_fit.sites)
    own = rows.column("pressure") / 40.0
    np.testing.assert_allclose(pressure.means[-1], own.mean(), atol=1e-6)
    within = sum(
        ((s.column("pressure") / 40.0 - (s.column("pressure") / 40.0).mean()) ** 2).sum()
        for s in mixed_fit.sites
    )
    np.testing.assert_allclose(pressure.products[-1, -1], within, rtol=1e-6)
    assert (pressure.num_records, pressure.num_means) == (rows.num_rows, 3)


def test_pool_and_centre_agree_for_two_sites_with_the_same_rows(
    mixed_study, mixed_sites, mixed_edges, secure_total
):
    content = mixed_study.to_json() | {"discovery": {"site_effects": "pool"}}
    pooled = Study.model_validate(content)
    request = families_request(mixed_edges, mixed_study.schema().names, {})
    twice = [mixed_sites[0], mixed_sites[0]]
    grams = [
        decode_families(study, request, secure_total(Families(), study, request, twice), 2)
        for study in (mixed_study, pooled)
    ]
    for node, gram in grams[0].items():
        np.testing.assert_allclose(gram.products, grams[1][node].products, atol=1e-8)
        np.testing.assert_array_equal(gram.means, grams[1][node].means)


def test_a_rare_level_is_withheld_and_the_rest_still_fits(
    mixed_study, mixed_sites, mixed_edges, secure_total
):
    rows = Table.concatenate(mixed_sites)
    group = rows.column("group")
    rare = np.flatnonzero(group == 2)[:3]
    table = rows.take(np.union1d(rare, np.flatnonzero(group != 2)))
    request = families_request(mixed_edges, mixed_study.schema().names, {})
    halves = [table.take(np.arange(k, table.num_rows, 2)) for k in range(2)]
    released = secure_total(Families(), mixed_study, request, halves)
    assert released.withheld.any()
    grams = decode_families(mixed_study, request, released, 2)
    assert "group=2" in grams["pressure"].dropped
    assert 2 in grams["group"].withheld_levels
    np.testing.assert_allclose(grams["group"].means.sum(), 1.0, atol=1e-9)
    mechanisms = fit_mechanisms(grams)
    parents = {name: table.column(name) for name in table.schema.names}
    law = mechanisms["status"].probabilities(parents)
    np.testing.assert_allclose(law.sum(axis=1), 1.0)
    assert np.isfinite(mechanisms["pressure"].mean(parents)).all()


def test_a_family_without_released_records_names_its_node(mixed_study, mixed_edges):
    request = families_request(mixed_edges, mixed_study.schema().names, {})
    length = Families().spec(mixed_study, request, 3).length
    empty = Released(
        totals=np.zeros(length, dtype=np.int64), withheld=np.zeros(length, dtype=bool)
    )
    with pytest.raises(FedCausalError, match=r"no model of 'age'.*min_cell"):
        decode_families(mixed_study, request, empty, 3)
