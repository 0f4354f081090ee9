import math

import pytest

from fedcausal.effects.e_value import e_value, e_value_sentence, e_values, risk_ratio_of_difference


def test_a_known_example():
    # VanderWeele and Ding (2017), Annals of Internal Medicine 167: RR 3.9 (1.8 to 8.7).
    assert e_value(3.9) == pytest.approx(7.26, abs=0.005)
    assert e_value(1.8) == pytest.approx(3.0, abs=0.005)


def test_no_effect_needs_no_hidden_cause_and_sides_are_alike():
    assert e_value(1.0) == 1.0
    assert e_value(0.5) == pytest.approx(e_value(2.0))


def test_an_interval_that_contains_zero_has_value_one():
    assert e_values((0.2, 0.3), (-0.01, 0.2), sd=None)[1] == 1.0
    point, limit = e_values((0.2, 0.4), (0.1, 0.3), sd=None)
    assert point == pytest.approx(e_value(2.0))
    assert limit == pytest.approx(e_value(1.5))


def test_a_number_counts_in_standard_deviations():
    assert risk_ratio_of_difference(5.0, 2.0, sd=2.0) == pytest.approx(math.exp(0.91))
    point, limit = e_values((5.0, 3.0), (-3.0, -1.0), sd=2.0)
    assert 1.0 < limit < point


def test_no_e_values_no_sentence():
    assert e_value_sentence(()) == ""
    assert "E-value 7.26" in e_value_sentence((7.26, 3.0))
