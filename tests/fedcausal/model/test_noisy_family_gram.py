import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.mechanism import LevelMechanism
from fedcausal.model.noisy_families import (
    NoisyFamilies,
    noisy_families_request,
    noisy_layouts,
)
from fedcausal.model.noisy_family_gram import (
    _consistent,
    decode_noisy_families,
    fit_noisy_mechanisms,
)
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

EDGES = [("a", "y"), ("b", "y"), ("y", "k")]
NODES = ("a", "b", "k", "y")
KIND, RNG = NoisyFamilies(), np.random.default_rng(21)
SCALES = {"a": (0.0, 0.12), "b": (0.05, 0.1), "k": (0.5, 0.5), "y": (0.0, 0.1)}
SLOPES = (-0.5, 1.0)  # of b and of a: the order of the terms


def study(epsilon=3.0, degree=2):
    return Study.model_validate(
        {
            "variables": {
                "a": {"kind": "continuous", "bounds": [-4, 4]},
                "b": {"kind": "continuous", "bounds": [-4, 4]},
                "k": {"kind": "binary"},
                "y": {"kind": "continuous", "bounds": [-8, 8]},
            },
            "model": {"family": "gram", "degree": degree},
            "privacy": {"model": {"epsilon": epsilon}},
        }
    )


def table(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, num_rows)).clip(-4, 4)
    y = (a - 0.5 * b + 0.5 * rng.normal(size=num_rows)).clip(-8, 8)
    k = (y + rng.normal(size=num_rows) > 0) * 1.0
    return Table(study().schema(), np.column_stack([a, b, k, y]))


def drawn(scales):
    """Seeded normal noise on the grid: fast, and these tests repeat themselves."""
    return np.rint(RNG.normal(size=scales.shape) * scales).astype(np.int64)


def silence(scales):
    return np.zeros(scales.shape, dtype=np.int64)


def release(found, degrees, rows, num_sites=4, *, missing=(), drawn=drawn):
    request = noisy_families_request(EDGES, NODES, degrees, scales=SCALES, missing=missing)
    parts = np.array_split(np.arange(rows.num_rows), num_sites)
    total = sum(
        KIND.compute_private(found, request, rows.take(part), num_sites=num_sites, noise=drawn)
        for part in parts
    )
    spec = KIND.spec(found, request, num_sites)
    return decode_noisy_families(found, request, apply_cell_rule(total, spec), num_sites)


def slopes_of(epsilon, num_rows, seed=0):
    grams = release(study(epsilon), dict.fromkeys(NODES, 1), table(num_rows, seed))
    mechanism = fit_noisy_mechanisms(grams)["y"]
    return mechanism.coefficients[1:] * 8 / 4, np.sqrt(mechanism.covariance.diagonal()[1:]) * 2


def test_slopes_are_found_through_the_noise():
    slopes, _ = slopes_of(8.0, 20_000)
    np.testing.assert_allclose(slopes, SLOPES, atol=0.05)


@pytest.mark.slow
def test_the_covariance_has_the_noise_in_it():
    """Standardised errors of 10 releases of two slopes have a variance of about 1."""
    errors = []
    for seed in range(10):
        slopes, sd = slopes_of(1.0, 4000, seed)
        errors.extend((slopes - SLOPES) / sd)
    assert 0.4 < np.mean(np.square(errors)) < 2.5
    assert slopes_of(1.0, 4000)[1][0] > 1.5 * slopes_of(8.0, 4000)[1][0]


def test_a_grams_noise_never_makes_it_impossible():
    """40 records at epsilon 1: noise alone; every mechanism can still be drawn from."""
    grams = release(study(1.0), dict.fromkeys(NODES, 2) | {"a": 1, "b": 1}, table(40))
    for node, found in grams.items():
        assert np.linalg.eigvalsh(found.gram.products).min() > 0
        mechanism = fit_noisy_mechanisms({node: found})[node]
        rng = np.random.default_rng(1)
        if isinstance(mechanism, LevelMechanism):
            law = mechanism.probabilities({"y": np.zeros(3)})
            assert np.all((law >= 0) & (law <= 1))
        else:
            assert np.isfinite(mechanism.draw_noise(10, rng)).all()


def test_without_noise_it_is_least_squares():
    """Rows are shortened and the node is held; the mean is as it was."""
    rows = table(20_000)
    grams = release(study(100.0), {**dict.fromkeys(NODES, 2), "a": 1, "b": 1}, rows, drawn=silence)
    mechanism = fit_noisy_mechanisms(grams)["y"]
    columns = {name: rows.column(name) for name in ("a", "b")}
    fitted = mechanism.mean(columns) * 8
    np.testing.assert_allclose(fitted, columns["a"] - 0.5 * columns["b"], atol=0.25)
    assert mechanism.residual.sd * 8 == pytest.approx(0.5, abs=0.01)
    assert grams["y"].gram.num_records <= 20_000


def test_linear_relations_among_products_are_restored():
    """One parent, degree 2: x^2 times 1 and x times x; noise breaks the relation."""
    loud = release(study(1.0), dict.fromkeys(NODES, 2), table(2000))["k"]
    assert loud.inner.shape == (2, 2)
    request = noisy_families_request(EDGES, NODES, dict.fromkeys(NODES, 2), scales=SCALES)
    (layout,) = [one for one in noisy_layouts(study(1.0), request) if one.family.node == "k"]
    inner = np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T
    once = _consistent(layout, inner)
    np.testing.assert_allclose(_consistent(layout, once), once, atol=1e-9)
    assert np.abs(once - inner).max() > 0.01
    columns = layout.nominal.nominal_columns(100, 7)
    design = layout.design(columns)
    exact = design.T @ design
    np.testing.assert_allclose(_consistent(layout, exact), exact, atol=1e-6)


def test_records_with_missing_parents_are_used():
    """Missing at random, half of all: slopes are right, and more records stand behind them."""
    rows, rng = table(40_000), np.random.default_rng(5)
    values = rows.values.copy()
    values[rng.random(len(values)) < 0.5, 0] = np.nan
    holes = Table(rows.schema, values)
    degrees = dict.fromkeys(NODES, 1)
    flagged = release(study(8.0), degrees, holes, missing=("a",), drawn=silence)["y"]
    left_out = release(study(8.0), degrees, holes, drawn=silence)["y"]
    assert left_out.gram.num_records < 20_000 < 30_000 < flagged.gram.num_records
    for found in (flagged, left_out):
        mechanism = fit_noisy_mechanisms({"y": found})["y"]
        np.testing.assert_allclose(mechanism.coefficients[1:] * 2, SLOPES, atol=0.03)
    noisy = release(study(8.0), degrees, holes, missing=("a",))
    slopes = fit_noisy_mechanisms(noisy)["y"].coefficients[1:] * 2
    np.testing.assert_allclose(slopes, SLOPES, atol=0.06)


def test_a_total_of_another_length():
    degrees = dict.fromkeys(NODES, 1)
    request = noisy_families_request(EDGES, NODES, degrees, scales=SCALES)
    wrong = Released(totals=np.zeros(3, dtype=np.int64), withheld=np.zeros(3, dtype=bool))
    with pytest.raises(ProtocolError, match="length"):
        decode_noisy_families(study(), request, wrong, 4)
