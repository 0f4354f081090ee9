import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.families import families_request
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.residuals import Residuals, decode_residuals, residuals_request
from fedcausal.statistics.kind import Request

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def asked(mixed_fit, mixed_edges):
    families = families_request(mixed_edges, mixed_fit.study.schema().names, {})
    return residuals_request(families, fit_mechanisms(mixed_fit.grams))


def test_counts_are_additive_and_complete(mixed_fit, asked):
    study = mixed_fit.study
    rows = Table.concatenate(mixed_fit.sites)
    whole = Residuals().compute(study, asked, rows, RNG)
    parts = sum(Residuals().compute(study, asked, site, RNG) for site in mixed_fit.sites)
    np.testing.assert_array_equal(whole, parts)
    for table in Residuals().spec(study, asked, 3).tables:
        assert whole[list(table.cells)].sum() == rows.num_rows


def test_the_law_has_the_residuals_quantiles(mixed_fit):
    rows = Table.concatenate(mixed_fit.sites)
    columns = {name: rows.column(name) for name in rows.schema.names}
    mechanism = mixed_fit.mechanisms["pressure"]
    residual = mechanism.abduct(columns["pressure"], columns, RNG)
    levels = np.linspace(0.05, 0.95, 19)
    width = np.diff(mechanism.residual.edges)[1]
    found = mechanism.residual.quantile(levels)
    assert np.abs(found - np.quantile(residual - residual.mean(), levels)).max() < width


def test_withheld_bins_share_what_is_left(mixed_fit, asked, secure_total):
    study = mixed_fit.study
    released = secure_total(Residuals(), study, asked, mixed_fit.sites)
    assert released.withheld.any()
    counts = {node: gram.num_records for node, gram in mixed_fit.grams.items()}
    laws = decode_residuals(study, asked, released, counts)
    start = 0
    for node in sorted(laws):
        size = len(laws[node].masses)
        part = slice(start, start + size)
        start += size
        hidden = released.withheld[part]
        if hidden.any():
            shares = laws[node].masses[hidden]
            np.testing.assert_allclose(shares, shares[0])
        seen = released.totals[part][~hidden] / counts[node]
        np.testing.assert_allclose(laws[node].masses[~hidden], seen, atol=1e-12)


def test_no_numeric_node_means_no_request(mixed_fit):
    levels = {n: m for n, m in mixed_fit.mechanisms.items() if n in ("drug", "status")}
    assert residuals_request(families_request([], ["drug", "status"], {}), levels) is None


def test_histograms_have_no_saturation_rule(mixed_fit, asked):
    assert Residuals().width(mixed_fit.study, asked) == 0


@pytest.mark.parametrize(
    "means",
    [
        None,
        {},
        {"drug": {"coefficients": [0.0], "sd": 1.0}},
        {"age": {"coefficients": [0.0, 1.0], "sd": 1.0}},
        {"age": {"coefficients": 3, "sd": 1.0}},
        {"age": {"coefficients": [0.0], "sd": -1.0}},
        {"age": {"coefficients": ["0"], "sd": 1.0}},
        {"age": {"coefficients": [0.0]}},
        {"nobody": {"coefficients": [0.0], "sd": 1.0}},
    ],
)
def test_malformed_requests_are_refused(mixed_study, means):
    request = Request(kind="residuals", parameters={"edges": [], "ranges": {}, "means": means})
    with pytest.raises(ProtocolError, match=r"residuals: means"):
        Residuals().spec(mixed_study, request, 3)
