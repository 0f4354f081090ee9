from fedcausal.data.comparison import compare_sites
from fedcausal.study import Study
from fedcausal_simulations.made_up import made_up_rows

STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [0, 120]},
            "free": {"kind": "continuous"},
            "score": {"kind": "ordinal", "bounds": [1, 5]},
            "stage": {"kind": "ordinal", "categories": ["early", "late"]},
            "arm": {"kind": "categorical", "categories": ["a", "b", "c"]},
            "died": {"kind": "binary"},
        }
    }
)


def test_made_up_rows_fit_the_study():
    rows = made_up_rows(STUDY, seed=0)
    compare_sites(STUDY.schema(), {"one": rows, "two": rows}).raise_for_errors()
    assert rows.num_rows == 900


def test_every_level_occurs():
    rows = made_up_rows(STUDY, seed=0)
    assert set(rows["arm"].to_pylist()) == {"a", "b", "c"}
    assert set(rows["score"].to_pylist()) >= {2, 3, 4}


def test_the_same_seed_makes_the_same_rows():
    assert made_up_rows(STUDY, seed=1).equals(made_up_rows(STUDY, seed=1))
    assert not made_up_rows(STUDY, seed=1).equals(made_up_rows(STUDY, seed=2))
