"""The statistic "spreads": its sums, its guards, and when a spread is kept."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.families import families_request
from fedcausal.model.family_layout import family_layouts
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.spread import log_size, spread_family
from fedcausal.model.spreads import Spreads, decode_spreads, spreads_request, with_spreads
from fedcausal.statistics.kind import Request

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def asked(mixed_fit, mixed_edges):
    families = families_request(mixed_edges, mixed_fit.study.schema().names, {})
    return spreads_request(families, mixed_fit.mechanisms)


def test_sums_are_additive_and_those_of_the_log_sizes(mixed_fit, asked):
    study, rows = mixed_fit.study, Table.concatenate(mixed_fit.sites)
    pooled = study.model_copy(
        update={"discovery": study.discovery.model_copy(update={"site_effects": "pool"})}
    )
    whole = Spreads().compute(pooled, asked, rows, RNG)
    parts = sum(Spreads().compute(pooled, asked, site, RNG) for site in mixed_fit.sites)
    np.testing.assert_array_equal(whole, parts)
    batches = Spreads().compute(pooled, asked, _Batches(rows, 700), RNG)
    np.testing.assert_array_equal(whole, batches)
    columns = {name: rows.column(name) for name in rows.schema.names}
    own = mixed_fit.mechanisms["pressure"]
    size = log_size(own.abduct(columns["pressure"], columns, RNG), own.residual.sd)
    basis = spread_family(own.family).basis
    exact = (np.column_stack([basis.evaluate(columns), size])).sum(axis=0)
    numeric = [m for m in mixed_fit.mechanisms.values() if not m.family.num_levels]
    below = sorted((m.family for m in numeric if m.family.basis.terms), key=lambda f: f.node)
    layouts = family_layouts([spread_family(family) for family in below], is_centred=False)
    (layout,) = [one for one in layouts if one.family.node == "pressure"]
    sums = whole[layout.first_sum : layout.first_count] / np.array(layout.family.units())
    np.testing.assert_allclose(sums, exact, atol=0.01)


def test_incomplete_records_are_in_no_product(mixed_fit, asked, secure_total):
    study = mixed_fit.study
    holes = [np.array(site.values) for site in mixed_fit.sites]
    at = study.schema().index("age")
    for values in holes:
        values[::2, at] = np.nan
    sites = [Table(study.schema(), values) for values in holes]
    released = secure_total(Spreads(), study, asked, sites)
    assert released.totals[0] == sum(np.isfinite(v[:, at]).sum() for v in holes)


def test_constant_noise_stays_what_it_was_bit_for_bit(uneven):
    by_parents, constant = (uneven[v][-1].mechanisms for v in ("by-parents", "constant"))
    assert type(by_parents["y"]).__name__ == "ScaledNoiseMechanism"
    for node in ("x", "z"):
        assert type(by_parents[node]) is NumericMechanism
        np.testing.assert_array_equal(by_parents[node].coefficients, constant[node].coefficients)
        np.testing.assert_array_equal(
            by_parents[node].residual.masses, constant[node].residual.masses
        )


def test_the_round_comes_between_families_and_residuals(uneven):
    phases = [state.phase for state in uneven["by-parents"]]
    assert phases == ["patterns", "margins", "families", "spreads", "residuals", "done"]
    assert "spreads" not in [state.phase for state in uneven["constant"]]
    answered = uneven["by-parents"][-1].digests
    assert any(name.startswith("spreads-") for name in answered)


def test_withheld_sums_leave_the_spread_constant(mixed_fit, asked, secure_total):
    study = mixed_fit.study
    released = secure_total(Spreads(), study, asked, mixed_fit.sites)
    hidden = type(released)(
        totals=np.zeros_like(released.totals),
        withheld=np.ones_like(released.withheld),
    )
    assert decode_spreads(study, asked, hidden, 3) == {}
    assert with_spreads(mixed_fit.mechanisms, {}) == mixed_fit.mechanisms


def test_no_number_with_parents_means_no_request(mixed_fit):
    roots = {n: m for n, m in mixed_fit.mechanisms.items() if n in ("age", "drug")}
    assert spreads_request(families_request([], ["age", "drug"], {}), roots) is None


@pytest.mark.parametrize(
    "means",
    [
        None,
        {"age": {"coefficients": [0.0], "sd": 1.0}},
        {"drug": {"coefficients": [0.0], "sd": 1.0}},
        {"pressure": {"coefficients": [0.0], "sd": 1.0}},
    ],
)
def test_malformed_requests_are_refused(mixed_study, asked, means):
    request = Request(kind="spreads", parameters={**asked.parameters, "means": means})
    with pytest.raises(ProtocolError, match=r"spreads: means"):
        Spreads().spec(mixed_study, request, 3)


def test_its_widest_family_is_smaller_than_that_of_the_means(mixed_study, asked, mixed_fit):
    widest = max(gram.family.width for gram in mixed_fit.grams.values())
    assert 0 < Spreads().width(mixed_study, asked) < widest


class _Batches:
    def __init__(self, table, size):
        self.table, self.size, self.schema = table, size, table.schema

    def batches(self):
        return self.table.batches(self.size)
