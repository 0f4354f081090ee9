import numpy as np
import pytest

from fedcausal.effects.estimand import Conditional, Product, Ratio, Sum, evaluate
from fedcausal.errors import InputError

NAMES = ("a", "x", "y")
JOINT = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(3, 2, 2)
ADJUSTED = Sum(("a",), Product((Conditional(("y",), ("a", "x")), Conditional(("a",)))))


def test_formulas_read_as_in_a_paper():
    assert str(ADJUSTED) == "sum over a of [P(y | a, x) P(a)]"
    assert str(Ratio(Conditional(("y", "x")), Conditional(("x",)))) == "[P(y, x)] / [P(x)]"
    assert str(Product(())) == "1"


def test_an_adjusted_law_by_hand():
    found = evaluate(ADJUSTED, JOINT, NAMES)
    assert found.shape == (1, 2, 2)
    for x in range(2):
        by_hand = sum(JOINT[a].sum() * JOINT[a, x] / JOINT[a, x].sum() for a in range(3))
        np.testing.assert_allclose(found[0, x], by_hand)
    np.testing.assert_allclose(found.sum(axis=2), 1.0)


def test_a_ratio_of_margins_is_a_conditional():
    ratio = Ratio(Conditional(("x", "y")), Conditional(("x",)))
    plain = Conditional(("y",), ("x",))
    np.testing.assert_allclose(evaluate(ratio, JOINT, NAMES), evaluate(plain, JOINT, NAMES))


def test_a_sum_over_what_the_formula_does_not_name_counts_its_levels():
    assert evaluate(Sum(("a",), Conditional(("x",))), JOINT, NAMES).sum() == pytest.approx(3.0)


def test_an_axis_without_a_name_is_refused():
    with pytest.raises(InputError, match="a name for each of 3 axes"):
        evaluate(ADJUSTED, JOINT, ("a", "x"))
