import pytest

from fedcausal.errors import ProtocolError
from fedcausal.private.model_budget import model_budget, model_epsilon, releases_model_scales
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of

PLAIN = {"variables": {"a": {"kind": "continuous", "bounds": [0, 1]}, "b": {"kind": "binary"}}}
GIVEN = {"knowledge": {"graph": "dag { a -> b }"}}


def study(model=3.0, graph=None, **sections):
    parts = {"model": model, "graph": graph}
    privacy = {part: {"epsilon": value} for part, value in parts.items() if value is not None}
    return Study.model_validate({**PLAIN, "privacy": privacy, **sections})


@pytest.mark.parametrize("graph", [None, 2.0])
@pytest.mark.parametrize("epsilon", [0.5, 3.0, 8.0])
def test_the_releases_together_cost_no_more_than_the_epsilon(epsilon, graph):
    budget = model_budget(study(epsilon, graph))
    assert 0.95 * epsilon < epsilon_of(budget.events(), 1e-5) <= epsilon
    assert (budget.scale is None) == (graph is not None)


def test_scales_are_released_once():
    assert releases_model_scales(study())
    assert not releases_model_scales(study(graph=1.0))
    assert releases_model_scales(study(graph=1.0, **GIVEN))


def test_a_study_without_an_epsilon():
    assert model_epsilon(study(model=None)) is None
    with pytest.raises(ProtocolError, match=r"without privacy\.model"):
        model_budget(study(model=None))
