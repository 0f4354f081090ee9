"""Which features a family has: counts, order, and what spans what."""

import math

import pytest

from fedcausal.model.bsplines import num_bumps
from fedcausal.model.family_terms import (
    Factor,
    coarse,
    is_indicator,
    polynomial_terms,
    spline_terms,
)
from fedcausal.schema import Variable

AGE = Variable(name="age", kind="continuous", bounds=(0.0, 90.0))
DOSE = Variable(name="dose", kind="continuous", bounds=(0.0, 1.0))
GROUP = Variable(name="group", kind="categorical", categories=("a", "b", "c"))
KNOTS = {"age": (-0.5, -0.2, 0.0, 0.2, 0.5, 0.7), "dose": (-0.1, 0.1, 0.4)}


@pytest.mark.parametrize(("num_parents", "degree"), [(1, 4), (2, 3), (3, 2)])
def test_polynomials_are_all_of_a_total_degree(num_parents, degree):
    parents = [Variable(name=n, kind="continuous", bounds=(0.0, 1.0)) for n in "abc"]
    terms = polynomial_terms(parents[:num_parents], degree)
    assert len(terms) == math.comb(num_parents + degree, degree) - 1
    assert len(set(terms)) == len(terms)


def test_splines_of_each_parent_come_before_products_of_pairs():
    terms = spline_terms([AGE, GROUP, DOSE], KNOTS)
    fine = [num_bumps(KNOTS[name]) - 1 for name in ("age", "dose")]
    thin = [num_bumps(coarse(KNOTS[name])) - 1 for name in ("age", "dose")]
    assert [len(term) for term in terms] == sorted(len(term) for term in terms)
    assert sum(len(term) == 1 for term in terms) == fine[0] + 2 + fine[1]
    assert sum(len(term) == 2 for term in terms) == 2 * sum(thin) + thin[0] * thin[1]
    assert len(set(terms)) == len(terms)


def test_products_with_levels_name_the_level_first_and_keep_it_together():
    products = [t for t in spline_terms([AGE, GROUP], KNOTS) if len(t) == 2]
    levels = [level.level for level, _ in products]
    assert levels == sorted(levels)
    assert all(spline.bump is not None for _, spline in products)


def test_a_product_of_levels_is_an_indicator():
    one, other = Factor(variable="a", level=1), Factor(variable="b", level=2)
    assert is_indicator((one, other))
    assert not is_indicator((one, Factor(variable="x", bump=2)))


def test_coarse_knots_are_a_third():
    assert coarse(KNOTS["age"]) == (-0.2, 0.5)
    assert coarse(()) == ()


def test_labels_tell_what_a_feature_is():
    factors = [
        Factor(variable="age", degree=1),
        Factor(variable="age", degree=3),
        Factor(variable="sex", level=1),
        Factor(variable="age", bump=4),
        Factor(variable="age", bump=2, is_coarse=True),
    ]
    assert [f.label for f in factors] == ["age", "P3(age)", "sex=1", "s4(age)", "c2(age)"]
