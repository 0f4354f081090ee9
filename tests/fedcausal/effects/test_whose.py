"""Answers say which of their mechanisms sites do not share, and whose are in their place."""

import pytest

from fedcausal.effects.effect import SAME_MECHANISMS
from fedcausal.effects.whose import Heads, told_whose

VARYING = {"pressure": ("the slope of age -> pressure",), "group": ("the residual variance",)}


@pytest.fixture(scope="module")
def model(mixed_fit):
    return mixed_fit.model


@pytest.fixture(scope="module")
def estimate(model):
    return model.effect("age", "pressure", (-1.0, 1.0), samples=200, draws=5)


def test_shared_mechanisms_leave_the_answer_as_it_is(model, estimate):
    assert told_whose(estimate, model.graph, {}) == estimate


def test_a_mechanism_that_differs_makes_the_answer_an_average(model, estimate):
    found = told_whose(estimate, model.graph, {"pressure": VARYING["pressure"]})
    assert "the slope of age -> pressure" in found.warnings[-1]
    assert "an average over them" in found.warnings[-1]
    assert SAME_MECHANISMS in estimate.assumptions
    assert SAME_MECHANISMS not in found.assumptions
    assert found.sentence == estimate.sentence


def test_the_treatment_s_own_mechanism_does_not_matter(model, estimate):
    found = told_whose(estimate, model.graph, {"age": ("the residual variance of age",)})
    assert found == estimate


def test_a_site_s_own_head_is_named_in_the_sentence(model, estimate):
    heads = Heads(site="north", nodes=("pressure",))
    found = told_whose(estimate, model.graph, VARYING, heads)
    assert found.sentence.endswith(
        "The mechanism of pressure is north's own; all others are shared by the sites."
    )
    assert not any("pressure differs" in text for text in found.warnings)


def test_several_heads_are_named_together():
    assert Heads(site="west", nodes=("a", "b")).sentence.startswith(
        "The mechanisms of a, b are west's own"
    )
