import numpy as np

from fedcausal.model.engine import CounterfactualColumns, Engine
from fedcausal.model.gram_model import GramModel
from fedcausal.model.nodeflow_model import NodeFlowModel

QUESTIONS = ("names", "sample", "log_prob", "counterfactual")


def test_both_families_answer_every_question():
    for family in (GramModel, NodeFlowModel):
        assert all(hasattr(family, question) for question in QUESTIONS)
    assert all(hasattr(Engine, question) for question in QUESTIONS)


def test_an_answer_holds_values_and_probabilities():
    answer = CounterfactualColumns(values={"y": np.zeros(2)}, probabilities={})
    assert answer.values["y"].shape == (2,)
