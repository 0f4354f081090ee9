import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study
from fedcausal.study_file.delta import fitting_delta

VARIABLES = {name: {"kind": "continuous", "bounds": [-4, 4]} for name in "ab"}


def _study(**privacy):
    return Study.model_validate({"variables": VARIABLES, "privacy": privacy})


@pytest.mark.parametrize("part", ["graph", "model", "effects"])
@pytest.mark.parametrize(("delta", "rows"), [(0.01, 5_000_000), (1e-5, 5_000_000), (1e-5, 10**5)])
def test_a_delta_of_one_record_or_more_is_refused(part, delta, rows):
    with pytest.raises(StudyError) as caught:
        _study(**{part: {"epsilon": 1.0}}, delta=delta, max_rows=rows)
    message = str(caught.value)
    assert f"privacy.delta: {delta:g} x {rows} records" in message
    written = float(message.partition("write delta = ")[2].partition(",")[0])
    assert _study(**{part: {"epsilon": 1.0}}, delta=written, max_rows=rows)


def test_a_delta_below_one_record_is_taken():
    assert _study(graph={"epsilon": 1.0}, max_rows=99_999)


def test_without_an_epsilon_delta_means_nothing():
    assert _study(delta=0.01, max_rows=5_000_000)


def test_without_a_public_bound_nothing_is_known():
    assert _study(graph={"epsilon": 1.0}, delta=0.01)


@pytest.mark.parametrize("records", [2, 9, 10, 99, 1000, 33_554_431])
def test_the_delta_to_write_leaves_a_tenth_of_a_record_or_less(records):
    assert 0.0099 < fitting_delta(records) * records <= 0.1 + 1e-12
