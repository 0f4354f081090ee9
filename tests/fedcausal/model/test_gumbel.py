import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.model.gumbel import counterfactual_probabilities, posterior_noise

law = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_exact_probabilities_match_posterior_draws(level):
    rng = np.random.default_rng(level)
    p, q = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
    n = 60_000
    levels = np.full(n, level)
    noise = posterior_noise(np.tile(p, (n, 1)), levels, rng)
    assert (np.argmax(np.log(p) + noise, axis=1) == level).all()
    drawn = np.bincount(np.argmax(np.log(q) + noise, axis=1), minlength=4) / n
    exact = counterfactual_probabilities(p[None], q[None], levels[:1])[0]
    np.testing.assert_allclose(drawn, exact, atol=5 * np.sqrt(0.25 / n))


@settings(deadline=None, derandomize=True)
@given(law, st.data())
def test_no_change_keeps_the_level(weights, data):
    p = np.array(weights) / np.sum(weights)
    level = data.draw(st.integers(0, len(p) - 1))
    found = counterfactual_probabilities(p[None], p[None], np.array([level]))[0]
    np.testing.assert_allclose(found, np.eye(len(p))[level], atol=1e-12)


@settings(deadline=None, derandomize=True)
@given(law, st.data())
def test_averaging_over_the_factual_law_gives_the_changed_law(weights, data):
    p = np.array(weights) / np.sum(weights)
    other = data.draw(st.lists(st.floats(0.01, 1.0), min_size=len(p), max_size=len(p)))
    q = np.array(other) / np.sum(other)
    levels = np.arange(len(p))
    shape = (len(p), len(p))
    table = counterfactual_probabilities(
        np.broadcast_to(p, shape), np.broadcast_to(q, shape), levels
    )
    np.testing.assert_allclose(p @ table, q, atol=1e-9)


def test_a_level_that_became_relatively_likelier_is_never_left():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
    found = counterfactual_probabilities(p, q, np.array([0]))
    np.testing.assert_allclose(found, [[1.0, 0.0]])
