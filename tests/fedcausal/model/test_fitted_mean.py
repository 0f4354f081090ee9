"""Fitted means as they travel: residuals at a site, and malformed requests."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.families import families_request
from fedcausal.model.fitted_mean import means_of, requested_means
from fedcausal.statistics.kind import Request


@pytest.fixture(scope="module")
def uneven_request(uneven):
    asked = next(s for s in uneven["by-parents"] if s.phase == "residuals")
    return asked.study, next(r for r in asked.requests if r.kind == "residuals")


def test_residuals_are_those_of_the_mechanisms(uneven, uneven_request, uneven_truth):
    study, request = uneven_request
    columns, _ = uneven_truth[0](500, np.random.default_rng(1))
    rows = Table(study.schema(), np.column_stack([columns[n] for n in study.schema().names]))
    mechanisms = uneven["by-parents"][-1].mechanisms
    for mean in requested_means(study, request):
        own = mechanisms[mean.family.node]
        expected = own.abduct(columns[own.family.node], columns, np.random.default_rng(0))
        np.testing.assert_allclose(mean.residuals(rows), expected, atol=1e-4)


def test_incomplete_records_have_no_residual(mixed_fit, mixed_edges):
    study = mixed_fit.study
    families = families_request(mixed_edges, study.schema().names, {})
    content = {**families.parameters, "means": means_of(mixed_fit.mechanisms)}
    values = np.array(mixed_fit.sites[0].values)
    values[0, study.schema().index("age")] = np.nan
    for mean in requested_means(study, Request(kind="residuals", parameters=content)):
        lacks = "age" in mean.family.members
        found = mean.residuals(Table(study.schema(), values))
        assert np.isnan(found[0]) == lacks
        assert np.isfinite(found[1:]).all()


@pytest.mark.parametrize("spread", [[0.0], "wide", [[1.0]], [float("nan")] * 40])
def test_a_malformed_spread_is_refused(uneven_request, spread):
    study, request = uneven_request
    means = dict(request.parameters["means"])
    means["y"] = {**means["y"], "spread": spread}
    bad = Request(kind="residuals", parameters={**request.parameters, "means": means})
    with pytest.raises(ProtocolError, match=r"residuals: means\.y\.spread"):
        requested_means(study, bad)
