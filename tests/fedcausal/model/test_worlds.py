import numpy as np

from fedcausal.model.worlds import one_answer, shared_laws, shared_or_mean
from fedcausal.schema import Kind, Variable

AGE = Variable(name="age", kind=Kind.CONTINUOUS, bounds=(0.0, 100.0))
STAGE = Variable(name="stage", kind=Kind.ORDINAL, categories=("low", "mid", "high"))
GROUP = Variable(name="group", kind=Kind.CATEGORICAL, categories=("a", "b", "c"))


def test_numbers_are_shared_or_means():
    worlds = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 6.0]])
    assert one_answer(worlds, AGE).tolist() == [0.1, 3.0]
    assert shared_or_mean(worlds[:1]).tolist() == [0.1, 1.0]


def test_codes_of_an_order_are_medians():
    worlds = np.array([[0.0, 2.0], [2.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 0.0]])
    assert one_answer(worlds, STAGE).tolist() == [2.0, 2.0]


def test_levels_are_the_most_probable():
    worlds = np.array([[0.0, 2.0], [2.0, 2.0], [2.0, 1.0]])
    assert one_answer(worlds, GROUP).tolist() == [2.0, 2.0]


def test_counts_are_medians_that_are_counts():
    visits = Variable(name="visits", kind=Kind.COUNT)
    worlds = np.array([[0.0, 3.0], [5.0, 3.0], [1.0, 3.0], [7.0, 3.0]])
    assert one_answer(worlds, visits).tolist() == [1.0, 3.0]


def test_laws_of_many_nodes_are_those_of_each():
    rng = np.random.default_rng(0)
    laws = {row: rng.dirichlet(np.ones(count), 6) for row, count in ((3, 2), (5, 3), (9, 2))}
    laws[9] = np.tile(laws[9][:2], (3, 1))
    found = shared_laws(laws, 3)
    for row, law in laws.items():
        np.testing.assert_allclose(found[row], law.reshape(3, 2, -1).mean(axis=0), rtol=1e-15)
    np.testing.assert_array_equal(found[9], laws[9][:2])
