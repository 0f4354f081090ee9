import numpy as np
import pytest

from fedcausal.effects.contrast import ask
from fedcausal.effects.target import balancing_weights, effective_records, target_of
from fedcausal.errors import InputError
from fedcausal.graph import Graph

ASKED = ("drug", "pressure", ("0", "1"))


def checked(fit, graph=None, **options):
    question = ask(fit.model, *ASKED)
    options = {"treated": False, "given": {}, "means": {}} | options
    return target_of(fit.model, question, graph or fit.model.graph, **options)


def test_populations_in_words(mixed_fit):
    assert checked(mixed_fit).is_everybody
    group = checked(mixed_fit, treated=True, given={"group": "b"})
    assert not group.is_everybody
    assert group.words == "those of the pooled population with group = b and drug = 1 of itself"
    other = checked(mixed_fit, means={"age": 1.5})
    assert other.words == "a population with the means age 1.5"


def test_balancing_gives_the_means_with_the_most_even_weights():
    rows = np.random.default_rng(0).normal(size=(4000, 2))
    wanted = np.array([0.5, -0.2])
    logs = balancing_weights(rows, wanted)
    weights = np.exp(logs - logs.max())
    np.testing.assert_allclose(weights @ rows / weights.sum(), wanted, atol=1e-3)
    # Tilting a normal law by its mean loses a share of exp(-|shift|^2) of the records.
    assert effective_records(logs) / 4000 == pytest.approx(np.exp(-0.29), abs=0.05)


def test_means_beyond_all_records_are_refused():
    with pytest.raises(InputError, match="no part of the model's population"):
        balancing_weights(np.random.default_rng(0).uniform(size=(100, 1)), np.array([1.5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"given": {"agee": 1.0}}, "effects.given: unknown variable 'agee'; did you mean 'age'"),
        ({"given": {"status": "dead"}}, "'status' may be changed by 'drug'"),
        ({"given": {"drug": "1"}}, "'drug' may be changed"),
        ({"given": {"group": "z"}}, "expected one of a, b, c"),
        ({"means": {"group": 0.5}}, "'group': expected the mean of a number"),
        ({"means": {"age": 60.0}}, "60 is not between -6 and 6"),
    ],
)
def test_impossible_populations_are_refused(mixed_fit, options, message):
    with pytest.raises(InputError, match=message):
        checked(mixed_fit, **options)


def test_what_the_class_lets_the_treatment_change_is_refused(mixed_fit):
    nodes = mixed_fit.model.graph.nodes
    graph = Graph.cpdag(nodes, [("drug", "pressure")], [("age", "drug")])
    with pytest.raises(InputError, match="'age' may be changed by 'drug'"):
        checked(mixed_fit, graph=graph, given={"age": 1.0})
