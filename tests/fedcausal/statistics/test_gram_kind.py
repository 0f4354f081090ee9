"""The gram statistic end to end: sites' vectors, the cell rule, the coordinator's covariance."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.table import Table
from fedcausal.errors import DataError, ProtocolError, SchemaError
from fedcausal.moments.basis import STANDARD_RANGE, UNIT
from fedcausal.moments.gram_totals import block_covariance
from fedcausal.statistics.gram_kind import (
    GramKind,
    basis_of,
    compared_effects,
    gram_release,
    gram_request,
    max_rows_per_site,
    site_scales,
)
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule

KIND = GramKind()
MODES = ("center", "standardize", "pool")


def _study(mode="center", basis="linear", **privacy):
    return Study.model_validate(
        {
            "variables": {
                "c": {"kind": "categorical", "categories": ["u", "v", "w"]},
                "x": {"kind": "continuous", "bounds": [-10, 10]},
                "y": {"kind": "binary"},
                "z": {"kind": "continuous", "bounds": [-20, 20]},
            },
            "discovery": {"site_effects": mode, "basis": basis},
            "privacy": privacy,
        }
    )


def _values(num_rows, seed=0, missing=0.0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, num_rows)
    x = rng.standard_normal(num_rows) + y + shift
    z = x + rng.standard_normal(num_rows) - 2 * shift
    values = np.column_stack([rng.integers(0, 3, num_rows), x, y, z])
    values[rng.random(values.shape) < missing] = np.nan
    return values


def _total(study, parts, request=None):
    request = request or gram_request()
    rng = np.random.default_rng(0)
    spec = KIND.spec(study, request, len(parts))
    vectors = [KIND.compute(study, request, Table(study.schema(), part), rng) for part in parts]
    assert all(v.shape == (spec.length,) and np.abs(v).max() <= spec.bound for v in vectors)
    return apply_cell_rule(np.sum(vectors, axis=0), spec)


def _totals(study, parts):
    return gram_release(study, gram_request(), _total(study, parts), len(parts))


def _partition(values, num_sites, rng):
    """Random, very unequal parts of at least two rows each."""
    borders = np.sort(rng.choice(np.arange(1, len(values) // 2), num_sites - 1, replace=False))
    return np.split(values[rng.permutation(len(values))], 2 * borders)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(3, 100),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["linear", "legendre-3", "asinh-4"]),
)
def test_pooled_totals_do_not_depend_on_the_partition(seed, num_sites, missing, basis):
    rng = np.random.default_rng(seed)
    study, values = _study("pool", basis), _values(400, seed % 1000, missing)
    reference = _total(study, np.array_split(values, 3))
    released = _total(study, _partition(values, num_sites, rng))
    assert np.array_equal(released.totals, reference.totals)
    assert np.array_equal(released.withheld, reference.withheld)
    first = block_covariance(gram_release(study, gram_request(), reference, 3))
    second = block_covariance(gram_release(study, gram_request(), released, num_sites))
    assert first.names == second.names
    assert first.dropped == second.dropped
    assert np.array_equal(first.covariance, second.covariance)
    assert np.array_equal(first.num_records, second.num_records)


@pytest.mark.parametrize("basis", ["linear", "legendre-3", "asinh-2"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_arrival_order_and_row_order_change_nothing(mode, missing, basis):
    study, rng = _study(mode, basis), np.random.default_rng(0)
    parts = [_values(50 + 30 * k, k, missing) for k in range(4)]
    shuffled = [part[rng.permutation(len(part))] for part in reversed(parts)]
    assert np.array_equal(_total(study, parts).totals, _total(study, shuffled).totals)


def _site_frames(parts):
    frames = [pd.DataFrame(part, columns=["c", "x", "y", "z"]) for part in parts]
    return pd.concat(frames, keys=range(len(parts)), names=["site", None]).reset_index("site")


def _dummies(frame):
    columns = {"c=v": frame["c"] == 1, "c=w": frame["c"] == 2, "x": frame["x"] / 20}
    columns |= {"y=1": frame["y"] == 1, "z": frame["z"] / 40}
    return pd.DataFrame(columns).astype(float)


def test_centred_totals_equal_a_pandas_run_with_the_same_site_labels():
    parts = [_values(60 + 40 * k, k, shift=2.0 * k) for k in range(4)]
    totals = _totals(_study("center"), parts)
    frame = _site_frames(parts)
    features = _dummies(frame)
    # Features are rounded to 2^-20 once; the oracle reads the same grid.
    features[["x", "z"]] = np.rint(features[["x", "z"]] * 2**20) / 2**20
    residuals = features - features.groupby(frame["site"]).transform("mean")
    kept = [1, 2, 3, 5, 6]
    expected = residuals.T.to_numpy() @ residuals.to_numpy()
    np.testing.assert_allclose(totals.products[np.ix_(kept, kept)], expected, rtol=1e-9, atol=1e-9)
    statistics = block_covariance(totals)
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(
        statistics.covariance, expected / np.outer(scale, scale), rtol=1e-9, atol=1e-10
    )
    assert np.all(statistics.num_records == len(frame) - 4)


def test_pooled_covariance_equals_numpy_on_all_rows():
    parts = [_values(100, k, shift=float(k)) for k in range(3)]
    statistics = block_covariance(_totals(_study("pool"), parts))
    expected = np.corrcoef(_dummies(_site_frames(parts)).to_numpy().T)
    np.testing.assert_allclose(statistics.covariance, expected, atol=1e-6)
    assert np.all(statistics.num_records == 299)


def test_standardised_totals_are_weighted_correlations():
    parts = [_values(100 + k, k) * [1, 2.0**-k, 1, 1] for k in range(3)]
    totals = _totals(_study("standardize"), parts)
    expected = sum(len(p) * np.corrcoef(p[:, 1], p[:, 3])[0, 1] for p in parts)
    assert totals.products[3, 6] == pytest.approx(expected, rel=1e-5)
    statistics = block_covariance(totals)
    x, z = statistics.blocks["x"][0], statistics.blocks["z"][0]
    assert statistics.covariance[x, z] == pytest.approx(expected / 303, rel=1e-5)


def test_a_variable_constant_at_one_site_neither_adds_nor_counts_there():
    parts = [_values(80, k) for k in range(3)]
    parts[2][:, 1] = 5.0
    for mode in ("center", "standardize"):
        statistics = block_covariance(_totals(_study(mode), parts))
        assert statistics.records(["x", "z"]) == 160 - 2
        assert statistics.records(["y", "z"]) == 240 - 3


def test_a_site_without_a_variable_takes_no_part_in_its_pairs():
    parts = [_values(80, k) for k in range(3)]
    with_all = block_covariance(_totals(_study(), parts))
    parts.append(np.full((50, 4), np.nan))
    parts[3][:, 3] = _values(50, 9)[:, 3]
    statistics = block_covariance(_totals(_study(), parts))
    x, z = statistics.blocks["x"][0], statistics.blocks["z"][0]
    assert statistics.records(["x", "z"]) == with_all.records(["x", "z"])
    assert statistics.covariance[x, z] == pytest.approx(with_all.covariance[x, z])
    assert statistics.records(["z"]) == 290 - 4


@pytest.mark.parametrize("mode", MODES)
def test_small_levels_are_withheld_with_all_that_depends_on_them(mode):
    parts = [_values(80, k) for k in range(3)]
    for part in parts:
        part[part[:, 0] == 2, 0] = 1
    parts[0][:3, 0] = 2
    study = _study(mode)
    totals = _totals(study, parts)
    assert totals.withheld_features.tolist()[2]
    assert sum(totals.withheld_features[:3]) == 2
    assert totals.withheld_products[2].all()
    statistics = block_covariance(totals)
    assert "c" not in statistics.names or len(statistics.blocks["c"]) == 1
    assert np.linalg.eigvalsh(statistics.covariance)[0] > 0


def test_rows_per_site_are_capped_and_the_range_is_proved():
    assert max_rows_per_site(_study(), 4) == (2**25 - 1) // 4
    assert max_rows_per_site(_study(max_rows=1000), 4) == 1000
    spec = KIND.spec(_study(), gram_request(), 100)
    assert 100 * spec.bound < 2**63
    with pytest.raises(DataError, match="expected 2 to 50 rows at one site, got 80"):
        _total(_study(max_rows=50), [_values(80)] * 3)
    with pytest.raises(DataError, match="expected 2 to"):
        _total(_study(), [_values(1)] * 3)


def test_ranges_come_with_the_request():
    free = Study.model_validate(
        {"variables": {"x": {"kind": "continuous"}, "y": {"kind": "binary"}}}
    )
    with pytest.raises(SchemaError, match="neither bounds nor a released range"):
        KIND.width(free, gram_request())
    request = Request.from_json(gram_request({"x": (-4.0, 4.0)}).to_json())
    assert KIND.width(free, request) == 3
    for parameters in ({"ranges": 3}, {"ranges": {"x": [1]}}, {"other": 1}):
        with pytest.raises(ProtocolError):
            KIND.width(free, Request(kind="gram", parameters=parameters))


def test_a_total_of_another_length_is_refused():
    released = _total(_study(), [_values(80)] * 3)
    with pytest.raises(ProtocolError, match="gram total of length"):
        gram_release(_study("pool"), gram_request(), released, 3)


def test_a_linear_study_sends_the_same_integers_whatever_others_bend():
    part = _values(80)
    linear = _total(_study(), [part] * 3)
    curved = _total(_study(basis="legendre-3"), [part] * 3)
    assert curved.totals.size > linear.totals.size
    first = gram_release(_study(), gram_request(), linear, 3)
    second = gram_release(_study(basis="legendre-3"), gram_request(), curved, 3)
    straight = [i for i, f in enumerate(second.basis.features) if f.degree == 1]
    square = np.ix_(straight, straight)
    assert np.array_equal(first.products, second.products[square])
    assert np.array_equal(first.sums, second.sums[straight])


def test_standardised_polynomials_do_not_see_a_sites_unit():
    study = _study("standardize", "legendre-3")
    parts = [_values(100, k) for k in range(3)]
    scaled = [part * [1, 0.5, 1, 1] + [0, k, 0, 0] for k, part in enumerate(parts)]
    first, second = (
        block_covariance(gram_release(study, gram_request(), _total(study, p), 3))
        for p in (parts, scaled)
    )
    np.testing.assert_allclose(first.covariance, second.covariance, atol=1e-4)
    assert first.responses["x"] == first.blocks["x"][:1]


def test_standardised_polynomials_of_the_asinh_are_in_its_own_deviations():
    study = _study("standardize", "asinh-2")
    part = _values(100)
    basis = basis_of(study, gram_request())
    table = Table(study.schema(), part)
    middle, spread = site_scales(basis, table)["x"]
    moved = basis.lines().encode(table)[0][:, basis.lines().block("x")[0]] / UNIT
    assert middle == pytest.approx(moved.mean(), abs=1e-9)
    assert spread == pytest.approx(STANDARD_RANGE * moved.std(), rel=1e-6)


def test_another_treatment_of_sites_can_be_asked_for_but_no_raw_sums():
    study, parts = _study("center"), [_values(80, k) for k in range(3)]
    request = gram_request(site_effects="standardize")
    assert compared_effects(study) == "standardize"
    assert compared_effects(_study("standardize")) == "center"
    assert compared_effects(_study("pool")) is None
    released = _total(study, parts, request)
    there = gram_release(study, request, released, 3)
    here = _totals(_study("standardize"), parts)
    assert np.array_equal(there.products, here.products)
    for wanted in ("pool", "none", 3):
        with pytest.raises(ProtocolError, match="site effects that the study does not allow"):
            KIND.spec(study, gram_request(site_effects=wanted), 3)
