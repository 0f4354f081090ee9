"""The plan in words: what of graph, model and effects is told, and when a study is warned."""

import json

import pytest

from fedcausal.private.planning import plan_lines, plan_study, plan_warnings
from fedcausal.study import Study


def _study(size=8, epsilon=1.0, sections=None, **privacy):
    graph = {} if epsilon is None else {"graph": {"epsilon": epsilon}}
    return Study.model_validate(
        {
            "variables": {
                f"v{i}": {"kind": "continuous", "bounds": [-12, 12]} for i in range(size)
            },
            "discovery": {"site_effects": "pool"},
            "privacy": {**graph, **privacy},
            **(sections or {}),
        }
    )


def _told(study, rows=5000, sites=5):
    plan = plan_study(study, num_records=rows, num_sites=sites)
    return plan_lines(study, plan), plan_warnings(study, plan)


def test_a_hopeless_graph_is_told_what_it_needs():
    study = _study(size=30, epsilon=0.5)
    plan = plan_study(study, num_records=1500, num_sites=5)
    (warning,) = plan_warnings(study, plan)
    assert warning.startswith("hopeless: correlations")
    needed = plan.graph.records_needed
    assert str(needed) in warning
    assert _told(study, needed)[1] == ()
    (weak,) = _told(study, int(needed * 0.7))[1]
    assert weak.startswith("weak")


def test_a_graph_that_is_given_is_not_warned_about():
    given = _study(size=3, epsilon=0.01, sections={"knowledge": {"graph": "digraph {v0 -> v1}"}})
    assert _told(given)[1] == ()


def test_without_an_epsilon_nothing_is_warned_about():
    lines, warnings = _told(_study(epsilon=None), rows=100)
    assert warnings == ()
    assert "graph: no differential privacy; exact sums" in lines
    assert not any(line.startswith(("model", "delta")) for line in lines)


def test_the_division_of_the_budget_is_told():
    study = Study.model_validate({**_study().to_json(), "discovery": {"site_effects": "center"}})
    text = "\n".join(_told(study)[0])
    for said in ("epsilon 1 at delta 1e-05", "scales of the variables: 8%", "private means: 8%"):
        assert said in text


@pytest.mark.parametrize(
    ("privacy", "told"),
    [
        ({}, "it predicted better"),
        ({"max_rows": 5000}, "at the public cap of 15000 records noise makes an error at most"),
        ({"max_rows": 50}, "at the public cap of 150 records noise makes an error above 0.1"),
    ],
)
def test_the_model_of_a_private_study_is_told_with_its_reason(privacy, told):
    lines, _ = _told(_study(model={"epsilon": 1.0}, **privacy))
    (reason,) = [line for line in lines if line.startswith("  this family:")]
    assert told in reason
    is_closed = "model: epsilon 1, closed form from noisy sums" in lines
    assert is_closed is ("max_rows" not in privacy or privacy["max_rows"] > 50)
    # One number, and it is of the records that were asked about.
    assert sum("noise makes an error of" in line for line in lines) == is_closed
    assert any("answered from the noised model" in line for line in lines) is is_closed


@pytest.mark.parametrize(("sites", "said"), [(4, "1 colluding site "), (8, "2 colluding sites ")])
def test_colluding_sites_are_counted_in_words(sites, said):
    assert said in _told(_study(), sites=sites)[0][1]


@pytest.mark.parametrize(
    ("family", "said"), [("gram", "the model's means off by"), ("nodeflow", "all training steps")]
)
def test_a_hopeless_model_is_warned_about(family, said):
    sections = {"model": {"family": family}}
    study = _study(epsilon=None, model={"epsilon": 0.01}, delta=1e-8, sections=sections)
    (warning,) = _told(study)[1]
    assert warning.startswith("hopeless")
    assert said in warning
    plan = plan_study(study, num_records=5000, num_sites=5)
    needed = (plan.model.closed_form or plan.model.trained_flow).records_needed
    assert str(needed) in warning
    assert _told(study, needed)[1] == ()


def test_of_a_trained_flow_it_is_said_what_is_not_predicted():
    study = _study(model={"epsilon": 8.0}, sections={"model": {"family": "nodeflow"}})
    text = "\n".join(_told(study)[0])
    told = ("noise multiplier", "signal to noise", "accuracy of a trained flow is not predicted")
    for each in told:
        assert each in text


QUERY = {"queries": [{"treatment": "v0", "outcome": "v1", "values": [-3, 3]}]}


@pytest.mark.parametrize("part", ["model", "effects"])
def test_a_hopeless_effect_is_warned_about(part):
    sections = {"model": {"family": "gram"}, "effects": QUERY}
    study = _study(epsilon=None, **{part: {"epsilon": 0.02}}, sections=sections)
    lines, warnings = _told(study)
    assert any("v0 on v1: interval +-" in line for line in lines)
    assert warnings[-1].startswith("hopeless: the effect of v0 on v1")
    assert f"raise privacy.{part}.epsilon" in warnings[-1]
    richer = _study(epsilon=None, **{part: {"epsilon": 3.0}}, sections=sections)
    assert _told(richer)[1] == ()


def test_delta_beside_the_records_is_told_and_warned_about():
    lines, warnings = _told(_study(epsilon=8.0), rows=50_000)
    assert lines[-1] == "delta 1e-05 x 50000 records (--rows): 0.5"
    assert warnings == ()
    _, (warning,) = _told(_study(epsilon=8.0), rows=5_000_000)
    assert warning.startswith("privacy.delta: 1e-05 x 5000000 records (--rows) is 50")
    assert warning.endswith("write delta = 1e-08")
    capped, warnings = _told(_study(epsilon=8.0, max_rows=50_000), rows=5_000_000)
    assert capped[-1] == "delta 1e-05 x 50000 records (privacy.max_rows): 0.5"
    assert warnings == ()


def test_the_plan_is_json():
    study = _study(model={"epsilon": 1.0}, effects={"epsilon": 1.0}, sections={"effects": QUERY})
    content = plan_study(study, num_records=5000, num_sites=5).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert set(content) == {"graph", "model", "effects"}
    assert content["model"]["predicts_accuracy"] is True
    assert content["effects"][0]["model_half_width"] > 0
    assert plan_study(_study(), num_records=99, num_sites=5).to_json()["model"] is None
