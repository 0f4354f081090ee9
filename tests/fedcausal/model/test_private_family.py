import pytest

from fedcausal.model.private_family import expected_error, private_family
from fedcausal.study import Study

BOUNDED = {name: {"kind": "continuous", "bounds": [-4, 4]} for name in "abcd"}


def study(variables=BOUNDED, family="auto", epsilon=3.0, **privacy):
    return Study.model_validate(
        {
            "variables": variables,
            "model": {"family": family},
            "privacy": {"model": {"epsilon": epsilon}, **privacy},
        }
    )


@pytest.mark.parametrize(("family", "expected"), [("gram", True), ("nodeflow", False)])
def test_the_study_may_name_its_family(family, expected):
    found = private_family(study(family=family))
    assert found.is_closed_form is expected
    assert family in found.reason


def test_auto_is_the_closed_form():
    assert private_family(study()).is_closed_form
    assert private_family(study(max_rows=5000)).is_closed_form


def test_auto_without_public_bounds_is_the_flow():
    found = private_family(study({**BOUNDED, "e": {"kind": "continuous"}}))
    assert not found.is_closed_form
    assert "e has no public bounds" in found.reason


def test_auto_where_noise_is_all_there_is_is_the_flow():
    found = private_family(study(epsilon=0.1, max_rows=100))
    assert not found.is_closed_form
    assert "above" in found.reason


def test_the_expected_error_falls_with_records_and_budget():
    errors = [
        expected_error(study(epsilon=epsilon), num_records=records, num_sites=5)
        for epsilon, records in ((1.0, 1000), (1.0, 10_000), (8.0, 10_000))
    ]
    assert errors[0] == pytest.approx(10 * errors[1])
    assert errors[1] > errors[2] > 0
