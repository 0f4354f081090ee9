import pytest

from fedcausal_clients.home import open_home
from fedcausal_clients.policy.consent import deny_study
from fedcausal_clients.policy.view import check_lines, check_policy, policy_lines
from fedcausal_clients.site_config import Policy
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture
def make_home(tmp_path, study):
    def make(**policy):
        rows = {"age": list(range(20, 60)), "dose": [1.0] * 40}
        tables = dict.fromkeys(("north", "south", "west"), rows)
        folder = prepare_workspace(study, tables, tmp_path / "work", seed=1, policy=policy)
        return folder / "north"

    return make


def failed(home, study):
    return {f.rule: f.code for f in check_policy(home, study) if f.status == "failed"}


def test_a_study_that_fits(make_home, study):
    home = make_home()
    assert failed(home, study) == {}
    assert max(map(len, check_lines(check_policy(home, study)))) <= 80
    assert check_lines(check_policy(home, study), brief=True) == []


@pytest.mark.parametrize(
    ("policy", "sections", "expected"),
    [
        ({"min_cell": 9}, {}, {"min_cell": "min-cell-too-low"}),
        ({"min_rows": 100}, {}, {"min_rows": "too-few-rows"}),
        ({}, {"privacy": {"max_rows": 30}}, {"max_rows": "too-many-rows"}),
        ({"allow": ["gram", "families"]}, {}, {"allow": "kind-not-allowed"}),
        ({"max_epsilon": 1.0}, {}, {"max_epsilon": "no-epsilon"}),
        ({"max_parameters_per_row": 0.01}, {}, {"max_parameters_per_row": "saturated"}),
        (
            {"max_delta": 1e-9},
            {"privacy": {"model": {"epsilon": 1.0}}},
            {"max_delta": "delta-too-large"},
        ),
    ],
)
def test_every_rule_says_what_the_gate_would(make_home, new_study, policy, sections, expected):
    assert failed(make_home(**policy), new_study(**sections)) == expected


def test_a_robust_study_needs_leave_to_release_the_site_alone(make_home, new_study):
    study = new_study(
        discovery={"votes": False},
        privacy={"incomplete": "drop"},
        model={"knots": 0},
        federation={"robust": 1},
    )
    assert failed(make_home(), study) == {"release_alone": "not-alone"}


def test_code_of_a_package_needs_the_policys_word(make_home, new_study):
    own = {"dose": {"name": "log-linear", "version": "1"}}
    study = new_study(model={"mechanisms": own})
    home = make_home()
    assert failed(home, study) == {"mechanisms": "mechanism-not-approved"}
    (finding,) = (f for f in check_policy(home, study) if f.rule == "mechanisms")
    assert "log-linear 1" in finding.detail


def test_a_budget_that_a_study_can_never_fit(make_home, new_study):
    home = make_home(max_epsilon=1.0)
    private = {"graph": {"epsilon": 1.0}, "model": {"epsilon": 9.0}}
    study = new_study(privacy=private, discovery={"votes": False}, model={"family": "gram"})
    findings = [f for f in check_policy(home, study) if f.rule == "max_epsilon"]
    assert [f.status for f in findings] == ["ok", "failed"]
    assert findings[1].code == "budget-exceeded"


@pytest.mark.parametrize(("delta", "statuses"), [(0.024, []), (0.025, ["warning"])])
def test_a_delta_of_one_row_or_more_is_seen_by_the_site_alone(
    make_home, new_study, delta, statuses
):
    private = {"model": {"epsilon": 1.0}, "delta": delta}
    study = new_study(privacy=private, model={"family": "gram"})
    found = [f for f in check_policy(make_home(max_delta=0.1), study) if f.rule == "delta"]
    assert [f.status for f in found] == statuses
    assert all(f.code == "" and "privacy.delta = 0.001" in f.detail for f in found)


def test_approval_is_a_part_of_it(make_home, study, new_study):
    home = make_home()
    other = new_study(privacy={"min_cell": 6})
    (first, *_) = check_policy(home, other)
    assert (first.status, first.code) == ("warning", "study-not-approved")
    with open_home(home) as opened:
        deny_study(opened.store, opened.gate.audit, study.hash(), "no money")
    assert failed(home, study) == {"approve": "study-denied"}
    (home / "data.parquet").unlink()
    rows = [f for f in check_policy(home, study) if f.rule == "min_rows"]
    assert rows[0].status == "warning"


def test_the_policy_in_words():
    lines = policy_lines(Policy(min_rows=50, approved=("ab" * 32,)))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "max_epsilon" in text
    assert "no limit" in text
    (line,) = [line for line in lines if line.startswith("min_rows")]
    assert not line.endswith("default")
