"""Formulas in a study file: what they imply for the graph, and what is refused."""

import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study
from fedcausal.study_file.formulas import formula_edges

VARIABLES = {
    "height": {"kind": "continuous", "bounds": [1.0, 2.5]},
    "weight": {"kind": "continuous", "bounds": [20.0, 200.0]},
    "sex": {"kind": "binary"},
    "bmi": {"kind": "continuous", "bounds": [5.0, 100.0], "formula": "weight / height ** 2"},
}


def study_of(formula=None, **sections):
    variables = {**VARIABLES, "bmi": {**VARIABLES["bmi"]}}
    if formula is not None:
        variables["bmi"]["formula"] = formula
    return Study.model_validate({"variables": variables, **sections})


def test_its_causes_are_required_and_all_others_forbidden():
    study = study_of()
    required, forbidden = formula_edges(study.variables)
    assert set(required) == {("height", "bmi"), ("weight", "bmi")}
    assert forbidden == (("sex", "bmi"),)
    known = study.knowledge_base()
    assert set(required) <= set(known.required)
    assert Study.model_validate(Study.parse(study.to_toml())).hash() == study.hash()


@pytest.mark.parametrize(
    ("formula", "fragment"),
    [
        ("weight / heigth", "unknown variable 'heigth'"),
        ("bmi + weight", "the variable itself"),
        ("sex * weight", "no number"),
        ("import os", "is no formula"),
        ("weight.__class__", "a formula has"),
    ],
)
def test_faulty_formulas(formula, fragment):
    with pytest.raises(StudyError, match=r"variables\.bmi\.formula") as error:
        study_of(formula)
    assert fragment in str(error.value)


def test_a_given_graph_must_say_the_same():
    with pytest.raises(StudyError, match="give the graph the same"):
        study_of(knowledge={"graph": "dag { weight -> bmi ; height }"})
    assert study_of(knowledge={"graph": "dag { weight -> bmi ; height -> bmi }"})


def test_the_neural_flow_has_no_formulas():
    with pytest.raises(StudyError, match="neural flow"):
        study_of(model={"family": "nodeflow"})


def test_values_missing_because_of_what_they_are_are_refused_with_a_word():
    with pytest.raises(StudyError, match=r"variables\.x\.missingness") as error:
        Study.model_validate(
            {"variables": {"x": {"kind": "binary", "missingness": "not-at-random"}}}
        )
    assert "leave the variable out" in str(error.value)
