"""The contract: what a user's class must bring, and what it gets for nothing."""

import numpy as np
import pytest

from fedcausal.model.own_mechanism import OwnMechanism, OwnTotals, OwnVariable
from tests.own_package import install

ABOUT = OwnVariable(node="y", parents=("x",), ranges={"x": (0.0, 1.0)}, num_levels={})


def test_a_class_without_equations_is_none():
    with pytest.raises(TypeError, match="abstract"):
        OwnMechanism(ABOUT)


def test_totals_are_not_written_to():
    totals = OwnTotals(num_records=3, sums=np.zeros(2), products=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="read-only"):
        totals.sums[0] = 1.0


def test_noise_is_normal_and_nothing_is_drawn_anew_where_not_said(tmp_path, monkeypatch):
    package = install(tmp_path, monkeypatch)

    class Plain(package.LogLinear):
        redraw = OwnMechanism.redraw

    own = Plain(OwnVariable(node="y", parents=(), ranges={"y": (1.0, 9.0)}, num_levels={}))
    rng = np.random.default_rng(0)
    noise = own.draw_noise(4000, rng)
    assert abs(noise.mean()) < 0.08
    assert abs(noise.std() - 1) < 0.06
    arrays = {"a": np.ones(1)}
    assert own.redraw(arrays, rng) is arrays
