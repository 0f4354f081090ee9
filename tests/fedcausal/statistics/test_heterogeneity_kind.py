"""Sums of the sites' slopes: equal to regressions in pandas, hidden where few sites have them."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.discovery.heterogeneity import cochran, varying
from fedcausal.errors import ProtocolError, StudyError
from fedcausal.graph import Graph
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import GramKind, gram_release, gram_request
from fedcausal.statistics.heterogeneity_kind import (
    HeterogeneityKind,
    heterogeneity_release,
    heterogeneity_request,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

KIND = HeterogeneityKind()
DAG = Graph.dag(("g", "x", "y", "z"), [("x", "y"), ("g", "y"), ("y", "z"), ("x", "g")])


def _study(mode="center"):
    bounds = {"kind": "continuous", "bounds": [-30, 30]}
    return Study.model_validate(
        {
            "variables": {"g": {"kind": "binary"}, "x": bounds, "y": bounds, "z": bounds},
            "discovery": {"site_effects": mode, "heterogeneity": True},
        }
    )


def _site(seed, slope=1.0, noise=1.0, n=200, unit=1.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    g = (rng.random(n) < 0.5) * 1.0
    y = slope * x + 0.5 * g + noise * rng.standard_normal(n)
    z = y + rng.standard_normal(n)
    return np.column_stack([g, x * unit, y, z])


def _released(study, parts):
    tables = [Table(study.schema(), part) for part in parts]
    rng = np.random.default_rng(0)

    def total(kind, request):
        spec = derive_spec(study, request, len(tables))
        vectors = [kind.compute(study, request, table, rng) for table in tables]
        assert all(v.shape == (spec.length,) and np.abs(v).max() <= spec.bound for v in vectors)
        return apply_cell_rule(np.sum(vectors, axis=0), spec)

    gram = gram_release(study, gram_request(), total(GramKind(), gram_request()), len(parts))
    request = heterogeneity_request(DAG, gram, {}, study.schema())
    request = Request.from_json(request.to_json())
    return heterogeneity_release(study, request, total(KIND, request))


def _textbook(parts, scale):
    """Per site, least squares of y on (1, g, x) with numpy: Q of the slope of x."""
    weights, slopes = [], []
    for part in parts:
        design = np.column_stack([np.ones(len(part)), part[:, 0], part[:, 1]])
        target = part[:, 2] * scale
        slope, rss, *_ = np.linalg.lstsq(design, target, rcond=None)
        variance = rss[0] / (len(part) - 3) * np.linalg.inv(design.T @ design)[2, 2]
        slopes.append(slope[2])
        weights.append(1 / variance)
    w, b = np.array(weights), np.array(slopes)
    return cochran("y", "x", len(parts), w.sum(), float(w @ b), float(w @ b**2))


def test_tests_equal_regressions_at_each_site():
    parts = [_site(k, slope=1.0 + 0.3 * (k % 3)) for k in range(10)]
    found = {(h.child, h.parent): h for h in _released(_study(), parts)}
    assert set(found) == {("g", "x"), ("y", "x"), ("y", "g=1"), ("y", ""), ("z", "y"), ("z", "")}
    expected = _textbook(parts, 1.0)
    assert found["y", "x"].q == pytest.approx(expected.q, rel=1e-3)
    assert found["y", "x"].i_squared == pytest.approx(expected.i_squared, abs=1e-3)
    assert found["y", "x"].p_value < 1e-4
    assert found["z", "y"].p_value > 0.01
    assert found["y", "x"].num_sites == 10


def test_residual_variances_are_compared():
    parts = [_site(k, noise=1.0 + (k % 2)) for k in range(10)]
    found = {(h.child, h.parent): h for h in _released(_study(), parts)}
    assert found["y", ""].p_value < 1e-6
    assert found["z", ""].p_value > 0.01


@pytest.mark.parametrize(("mode", "differs"), [("center", True), ("standardize", False)])
def test_units_that_drift_are_no_difference_once_standardised(mode, differs):
    parts = [_site(k, unit=1.0 + k % 3) for k in range(10)]
    found = {(h.child, h.parent): h for h in _released(_study(mode), parts)}
    assert (found["y", "x"].p_value < 1e-4) == differs


def test_a_family_that_few_sites_can_estimate_is_withheld():
    parts = [_site(k) for k in range(10)]
    for part in parts[:3]:
        part[:, 0] = 1.0
    found = {h.child for h in _released(_study(), parts)}
    assert found == {"z"}
    few = [_site(k, n=11) for k in range(3)] + [_site(k) for k in range(3, 10)]
    assert {h.child for h in _released(_study(), few)} == set()


def test_missing_values_leave_the_complete_rows_of_a_family():
    parts = [_site(k) for k in range(10)]
    kept = [part[50:] for part in parts]
    for part in parts:
        part[:50, 0] = np.nan
    found = {(h.child, h.parent): h for h in _released(_study(), parts)}
    assert found["y", "x"].q == pytest.approx(_textbook(kept, 1.0).q, rel=1e-3)
    assert found["z", "y"].num_sites == 10


def test_too_few_sites_and_strange_requests_are_refused():
    study = _study()
    request = Request(
        kind="heterogeneity",
        parameters={"families": {"y": ["x"]}, "ranges": {}, "scales": {}},
    )
    assert KIND.width(study, request) == 3
    with pytest.raises(StudyError, match="expected 8 sites or more, got 7"):
        KIND.spec(study, request, 7)
    for parameters in (
        {},
        {"families": {}, "ranges": {}, "scales": {}},
        {"families": {"g": []}, "ranges": {}, "scales": {}},
        {"families": {"g": "x"}, "ranges": {}, "scales": {}},
        {"families": {"y": ["x"]}, "ranges": 3, "scales": {}},
    ):
        with pytest.raises(ProtocolError):
            KIND.spec(study, Request(kind="heterogeneity", parameters=parameters), 10)


def test_levels_are_compared_by_the_slopes_of_their_probability():
    """The effect of x on g turns round at three sites; frequencies may differ all the same."""

    def with_levels(k, slope):
        part, rng = _site(k, n=600), np.random.default_rng(100 + k)
        share = (0.3 + 0.05 * (k % 5)) + slope * part[:, 1]
        part[:, 0] = rng.random(len(part)) < share.clip(0.02, 0.98)
        return part

    alike = {
        (h.child, h.parent): h
        for h in _released(_study(), [with_levels(k, 0.1) for k in range(10)])
    }
    apart = _released(_study(), [with_levels(k, -0.1 if k < 3 else 0.1) for k in range(10)])
    assert ("g", "") not in alike
    assert alike["g", "x"].p_value > 1e-3
    assert varying(apart)["g"] == ("the slope of x -> g = 1",)
    assert "g" not in varying(tuple(alike.values()))


def test_a_given_graph_has_slopes_in_sixths_of_the_range():
    study, parts = _study(), [_site(k, slope=1.0 + 0.5 * (k % 2)) for k in range(10)]
    request = heterogeneity_request(DAG, None, {}, study.schema())
    spec = derive_spec(study, request, 10)
    rng = np.random.default_rng(0)
    tables = [Table(study.schema(), part) for part in parts]
    total = apply_cell_rule(sum(KIND.compute(study, request, t, rng) for t in tables), spec)
    found = {(h.child, h.parent): h for h in heterogeneity_release(study, request, total)}
    assert found["y", "x"].q == pytest.approx(_textbook(parts, 1.0).q, rel=1e-2)
    assert found["y", "x"].estimate == pytest.approx(1.25, abs=0.1)


def test_a_graph_without_edges_asks_nothing():
    study = _study()
    table = Table(study.schema(), _site(0))
    vector = GramKind().compute(study, gram_request(), table, np.random.default_rng(0))
    released = apply_cell_rule(3 * vector, GramKind().spec(study, gram_request(), 3))
    gram = gram_release(study, gram_request(), released, 3)
    empty = Graph.dag(DAG.nodes, [])
    assert heterogeneity_request(empty, gram, {}, study.schema()) is None
