import pytest

from fedcausal.private.planning import plan_lines, plan_study
from fedcausal.private.table_planning import better_tests, compared_lines, share_of_records
from fedcausal.study import Study

ASIA = (2,) * 8
CHILD = (2, 3, 6, 2, 3, 5, 3, 3, 3, 3, 2, 2, 3, 2, 3, 2, 5, 3, 5, 2)


def study_of(levels, epsilon):
    variables = {
        f"v{i:02d}": {"kind": "categorical", "categories": [str(k) for k in range(size)]}
        for i, size in enumerate(levels)
    }
    return Study.model_validate(
        {
            "variables": variables,
            "discovery": {"votes": False},
            "privacy": {} if epsilon is None else {"graph": {"epsilon": epsilon}},
        }
    )


@pytest.mark.parametrize(
    ("levels", "epsilon", "better"),
    [
        (ASIA, 1.0, "gram"),
        (ASIA, 3.0, "gram"),
        (ASIA, 8.0, "tables"),
        (CHILD, 1.0, "gram"),
        (CHILD, 3.0, "gram"),
        (CHILD, 8.0, "gram"),
    ],
)
def test_the_rule_is_what_the_benchmark_found(levels, epsilon, better):
    """benchmarks/privacy_parts/tables.py: 5000 records, 10 sites."""
    study = study_of(levels, epsilon)
    assert better_tests(study, num_records=5000, num_sites=10) == better
    (line,) = compared_lines(study, num_records=5000, num_sites=10)
    assert f'"{better}"' in line


def test_more_records_and_more_budget_are_worth_more():
    def share(epsilon, num_records):
        study = study_of(ASIA, epsilon)
        return share_of_records(study, num_records=num_records, num_sites=10)

    assert share(1.0, 5000) < share(3.0, 5000) < share(8.0, 5000) < share(8.0, 50_000) < 1.0


def test_a_plan_says_so_only_where_there_is_a_choice():
    private, exact = study_of(ASIA, 8.0), study_of(ASIA, None)
    lines = plan_lines(private, plan_study(private, num_records=5000, num_sites=10))
    assert any("noisy tables" in line for line in lines)
    assert not list(compared_lines(exact, num_records=5000, num_sites=10))
