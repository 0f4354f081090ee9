import numpy as np
import pytest

from fedcausal.effects.contrast import ask
from fedcausal.errors import InputError


def test_a_question_in_words_becomes_codes(mixed_fit):
    question = ask(mixed_fit.model, "group", "status", ("a", "c"))
    assert question.codes == (0.0, 2.0)
    assert question.outcome_level == "dead"
    np.testing.assert_array_equal(question.measured(np.array([0.0, 1.0, 1.0])), [0, 1, 1])


def test_a_number_is_measured_as_it_is(mixed_fit):
    question = ask(mixed_fit.model, "drug", "pressure", ("0", "1"))
    assert question.outcome_level is None
    values = np.array([1.5, -2.0])
    assert question.measured(values) is values


def test_equal_values_are_refused(mixed_fit):
    with pytest.raises(InputError, match="two different values"):
        ask(mixed_fit.model, "drug", "pressure", ("1", "1"))
