"""Candidates travel whole, and the simplest good one is taken."""

import json

import numpy as np
import pytest

from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.model.candidates import (
    CLOSED_FORM,
    candidate_from_json,
    candidate_to_json,
    candidates_of,
    choice_of,
    unit_of,
)
from fedcausal.model.formula import Formula
from fedcausal.model.formula_mechanism import FormulaMechanism
from fedcausal.model.mechanism import LevelMechanism


@pytest.fixture(scope="module")
def found(uneven):
    state = uneven["by-parents"][-1]
    rivals = uneven["constant"][-1].mechanisms
    return candidates_of(state.families, state.mechanisms, {"y": rivals["y"]})


def test_each_variable_has_the_candidates_that_fit_it(found, mixed_fit):
    assert {node: list(own) for node, own in found.items()} == {
        "x": ["linear Gaussian", "closed form"],
        "y": ["linear Gaussian", "closed form", "scaled noise"],
        "z": ["linear Gaussian", "closed form"],
    }
    mixed = candidates_of(mixed_fit.grams, mixed_fit.mechanisms, {})
    assert list(mixed["drug"]) == ["frequencies", "closed form"]
    assert "group" not in mixed  # its frequencies are its closed form


def test_frequencies_are_those_of_the_records(mixed_fit, mixed_sites):
    plain = candidates_of(mixed_fit.grams, mixed_fit.mechanisms, {})["drug"]["frequencies"]
    assert isinstance(plain, LevelMechanism)
    one = {"age": np.array([3.0]), "group": np.array([2.0])}
    share = np.mean(np.concatenate([site.column("drug") for site in mixed_sites]))
    np.testing.assert_allclose(plain.probabilities(one)[..., 1], share, atol=1e-6)


def test_candidates_travel_whole(found, uneven_truth, mixed_fit):
    columns, _ = uneven_truth[0](50, np.random.default_rng(0))
    for node, own in found.items():
        for mechanism in own.values():
            sent = json.loads(json.dumps(candidate_to_json(mechanism)))
            back = candidate_from_json(mechanism.family, sent)
            assert type(back) is type(mechanism)
            np.testing.assert_array_equal(
                back.log_prob(columns[node], columns), mechanism.log_prob(columns[node], columns)
            )
    drug = mixed_fit.mechanisms["drug"]
    back = candidate_from_json(drug.family, candidate_to_json(drug))
    np.testing.assert_array_equal(back.coefficients, drug.coefficients)


def test_a_formula_has_no_rival_and_does_not_travel(mixed_fit):
    own = FormulaMechanism(
        family=mixed_fit.mechanisms["pressure"].family, formula=Formula.parse("2 * age")
    )
    mechanisms = {**mixed_fit.mechanisms, "pressure": own}
    assert "pressure" not in candidates_of(mixed_fit.grams, mechanisms, {})
    with pytest.raises(FedCausalError, match="does not travel"):
        candidate_to_json(own)


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": [0.0]},
        {"edges": [1.0]},
        {"edges": "wide"},
        {"masses": [2.0]},
        {"records": 0},
        {"records": None},
        {"spread": [0.0]},
    ],
)
def test_malformed_candidates_are_refused(found, change):
    own = found["y"][CLOSED_FORM]
    content = {**candidate_to_json(own), **change}
    with pytest.raises(ProtocolError, match=r"candidates\.y"):
        candidate_from_json(own.family, content)
    with pytest.raises(ProtocolError):
        candidate_from_json(own.family, [])


def test_units_are_spreads_of_numbers(found, mixed_fit):
    own = found["z"]["closed form"].residual.sd * 60.0
    assert unit_of(found["z"]) == pytest.approx(own)
    assert unit_of({"closed form": mixed_fit.mechanisms["drug"]}) == 1.0


def test_the_simplest_good_candidate_is_taken():
    names = ("line", "curve", "flow")
    assert choice_of("y", names, np.array([-10.0, -8.0, -7.5]), 5).chosen == "line"
    assert choice_of("y", names, np.array([-11.0, -8.0, -7.5]), 5).chosen == "curve"
    assert choice_of("y", names, np.array([-99.0, -88.0, -7.5]), 5).chosen == "flow"
    assert choice_of("y", names, np.array([-10.0, -8.0, -5.0]), 5).to_json() == {
        "node": "y",
        "records": 5,
        "log_likelihood": {"line": -2.0, "curve": -1.6, "flow": -1.0},
        "chosen": "flow",
    }
