import pytest

from fedcausal.commands.interventions import number_or_word, parse_do
from fedcausal.errors import InputError
from fedcausal.model.policies import Draw, Shift


def test_values_shifts_and_laws():
    assert parse_do(["age = 60", "sex=f"]) == {"age": 60.0, "sex": "f"}
    assert parse_do(["age+=5", "dose -= 0.5"]) == {"age": Shift(5.0), "dose": Shift(-0.5)}
    assert parse_do(["sex~f:0.25,m:0.75"]) == {"sex": Draw({"f": 0.25, "m": 0.75})}
    assert parse_do(["time-point=-3"]) == {"time-point": -3.0}
    assert parse_do(None) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["age"], "expected name=value"),
        (["=3"], "expected name=value"),
        (["age="], "expected name=value"),
        (["age=3", "age+=1"], "set twice"),
        (["age+=much"], r"for example --do age\+=5"),
        (["sex~f,m"], "expected shares by value"),
        (["sex~f:some,m:0.5"], "expected shares by value"),
        (["sex~f:0.5,m:0.6"], "sum to 1"),
    ],
)
def test_what_is_no_intervention_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        parse_do(given)


def test_numbers_and_words():
    assert number_or_word(" 3.5 ") == 3.5
    assert number_or_word(" f ") == "f"
