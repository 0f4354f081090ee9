"""Sums of users' own features: exact, additive, under the cell rule, and of the study alone."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import DataError, FedCausalError, InputError, ProtocolError
from fedcausal.model.own_sums import OwnSums, fit_own_mechanisms, own_sums_request
from fedcausal.statistics.implied import is_implied
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import json_hash
from tests.own_package import install

VARIABLES = {
    "arm": {"kind": "binary"},
    "age": {"kind": "continuous", "bounds": [20, 90]},
    "cost": {"kind": "continuous", "bounds": [1, 1e5]},
}
PARENTS = {"age": (), "arm": (), "cost": ("arm", "age")}
RANGES = {"age": (20.0, 90.0), "cost": (1.0, 1e5)}


def study_of(name="log-linear", version="1", **more):
    own = {"cost": {"name": name, "version": version}}
    return Study.model_validate({"variables": VARIABLES, "model": {"mechanisms": own, **more}})


STUDY = study_of()


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    return install(tmp_path, monkeypatch)


def rows(size, seed=0):
    rng = np.random.default_rng(seed)
    age, arm = rng.uniform(20, 90, size), (rng.random(size) < 0.4) * 1.0
    cost = np.exp(3 + 0.03 * age - 0.5 * arm + 0.4 * rng.normal(size=size)).clip(1, 1e5)
    return {"age": age, "arm": arm, "cost": cost}


def request_of(study=STUDY):
    return own_sums_request(study, PARENTS, RANGES)


def oracle(columns):
    """Least squares on the pooled rows."""
    half = np.log(1e5) / 2
    design = np.column_stack(
        [np.ones(len(columns["age"])), (2 * columns["age"] - 110) / 70, columns["arm"] == 1]
    )
    scaled = np.log(columns["cost"]) / half - 1
    slopes, *_ = np.linalg.lstsq(design, scaled, rcond=None)
    left = scaled - design @ slopes
    return slopes, np.sqrt(left @ left / (len(left) - 3))


def test_the_federated_fit_is_the_pooled_one(as_table, secure_total):
    columns = rows(3000)
    sites = [as_table(STUDY, {n: c[k::3] for n, c in columns.items()}) for k in range(3)]
    request = request_of()
    released = secure_total(OwnSums(), STUDY, request, sites)
    node = fit_own_mechanisms(STUDY, request, released)["cost"]
    slopes, sd = oracle(columns)
    assert node.arrays["slopes"] == pytest.approx(slopes, abs=1e-6)
    assert float(node.arrays["sd"]) == pytest.approx(sd, abs=1e-6)


def test_a_site_is_the_sum_of_its_parts_whatever_their_order(as_table):
    columns, request, rng = rows(500), request_of(), np.random.default_rng(0)
    whole = OwnSums().compute(STUDY, request, as_table(STUDY, columns), rng)
    order = np.random.default_rng(1).permutation(500)
    parts = [
        as_table(STUDY, {n: c[order][part] for n, c in columns.items()})
        for part in (slice(0, 120), slice(120, None))
    ]
    found = [OwnSums().compute(STUDY, request, part, rng) for part in parts]
    np.testing.assert_array_equal(sum(found), whole)


def test_records_that_lack_something_are_in_no_sum(as_table):
    columns, request, rng = rows(200), request_of(), np.random.default_rng(0)
    holes = {n: c.copy() for n, c in columns.items()}
    holes["age"][:50], holes["cost"][50:80] = np.nan, np.nan
    found = OwnSums().compute(STUDY, request, as_table(STUDY, holes), rng)
    kept = {n: c[80:] for n, c in columns.items()}
    np.testing.assert_array_equal(
        found, OwnSums().compute(STUDY, request, as_table(STUDY, kept), rng)
    )


@pytest.mark.parametrize("few", [1, 4])
def test_a_small_cell_of_the_causes_withholds_every_sum(few, as_table, secure_total):
    columns = rows(300)
    columns["arm"] = np.zeros(300)
    columns["arm"][:few] = 1.0
    request = request_of()
    released = secure_total(OwnSums(), STUDY, request, [as_table(STUDY, columns)])
    spec = OwnSums().spec(STUDY, request, 1)
    sums = np.setdiff1d(np.arange(spec.length), spec.counts)
    assert released.withheld[sums].all()
    assert not released.totals[sums].any()
    with pytest.raises(FedCausalError, match="no mechanism of 'cost': fewer complete records"):
        fit_own_mechanisms(STUDY, request, released)


def test_few_records_are_not_shown(as_table, secure_total):
    request = request_of()
    released = secure_total(OwnSums(), STUDY, request, [as_table(STUDY, rows(4))])
    assert released.withheld.all()


def test_no_value_beyond_the_bounds_is_summed():
    columns = rows(30)
    columns["cost"][3] = 2e5
    table = Table(STUDY.schema(), np.column_stack([columns[n] for n in STUDY.schema().names]))
    with pytest.raises(DataError, match="cost: 1 rows lie outside"):
        OwnSums().compute(STUDY, request_of(), table, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raising-at-the-site", "of 'cost': features raised ValueError;"),
        ("short", "features gave no 3 finite numbers for each record"),
    ],
)
def test_a_package_that_fails_at_a_site_says_nothing_of_its_rows(name, words, as_table):
    study = study_of(name)
    with pytest.raises(FedCausalError, match=words):
        OwnSums().compute(
            study, request_of(study), as_table(study, rows(30)), np.random.default_rng(0)
        )


def test_too_many_features_are_refused_where_the_study_is_led():
    with pytest.raises(FedCausalError, match="num_features is a number from 1 to 64"):
        request_of(study_of("wide"))


def test_a_study_without_its_own_asks_nothing():
    plain = Study.model_validate({"variables": VARIABLES})
    assert request_of(plain) is None
    assert not is_implied(plain, Request(kind="own_sums"))
    assert is_implied(STUDY, request_of())
    with pytest.raises(InputError, match=r"model\.mechanisms\.cost: version '7'"):
        request_of(study_of(version="7"))


def test_the_shape_needs_no_package(monkeypatch):
    request = request_of()
    monkeypatch.setattr("fedcausal.model.own_sums.own_mechanism", None)
    spec = OwnSums().spec(STUDY, request, 3)
    assert spec.length == 1 + 2 + 3 + 6
    assert spec.counts == (0, 1, 2)
    assert OwnSums().width(STUDY, request) == 4


def _changed(**parts):
    request = request_of()
    nodes = {"cost": {**request.parameters["nodes"]["cost"], **parts}}
    return Request(kind="own_sums", parameters={**request.parameters, "nodes": nodes})


@pytest.mark.parametrize(
    "request_",
    [
        {"name": "another"},
        {"version": "2"},
        {"features": 0},
        {"features": 65},
        {"features": True},
        {"features": "3"},
        {"parents": ["arm", "age"]},
        {"parents": ["age", "cost"]},
        {"parents": ["age", "sex"]},
        {"parents": "age"},
    ],
)
def test_what_the_study_does_not_say_is_refused(request_):
    with pytest.raises(ProtocolError, match="own_sums"):
        OwnSums().spec(STUDY, _changed(**request_), 3)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"nodes": {}},
        {"nodes": {"age": {}}},
        {"nodes": {"cost": 3}},
        {"nodes": request_of, "ranges": {"age": [1]}},
    ],
)
def test_a_malformed_request_is_refused(parameters):
    if callable(parameters.get("nodes")):
        parameters = {**parameters, "nodes": request_of().parameters["nodes"]}
    with pytest.raises(ProtocolError, match="own_sums"):
        OwnSums().spec(STUDY, Request(kind="own_sums", parameters=parameters), 3)


def test_a_site_with_other_features_takes_no_part(as_table):
    with pytest.raises(ProtocolError, match="another number of features"):
        OwnSums().compute(
            STUDY, _changed(features=2), as_table(STUDY, rows(30)), np.random.default_rng(0)
        )


def test_another_version_is_another_study():
    assert json_hash(study_of(version="2").to_json()) != STUDY.hash()
    assert Study.model_validate(Study.parse(STUDY.to_toml())).hash() == STUDY.hash()
