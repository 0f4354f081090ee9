import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.data.units import Conversion, SiteUnit, conversion_of
from fedcausal.errors import DataError
from fedcausal.schema import Kind, Variable


def variable(unit, name="x"):
    return Variable(name=name, kind=Kind.CONTINUOUS, unit=unit)


@pytest.mark.parametrize(
    ("here", "there", "value", "expected"),
    [
        ({"unit": "mg/dL", "molar_mass": 386.65}, "mmol/L", 200.0, 5.1726),
        ({"unit": "mmol/l", "molar_mass": 180.156}, "mg/dl", 5.0, 90.078),
        ({"unit": "umol/L", "molar_mass": 113.12}, "mg/dL", 88.4, 0.99998),
        ({"unit": "°F"}, "°C", 98.6, 37.0),
        ({"unit": "K"}, "degF", 310.15, 98.6),
        ({"unit": "lb"}, "kg", 154.0, 69.853225),
        ({"unit": "in"}, "cm", 70.0, 177.8),
        ({"unit": "mmHg"}, "kPa", 120.0, 15.998686),
        ({"unit": "months"}, "years", 18.0, 1.5),
        ({"unit": "percent"}, "1", 45.0, 0.45),
        ({"unit": "g/dL"}, "g/L", 14.0, 140.0),
        ({"unit": "parsec", "factor": 2.0, "offset": 1.0}, "furlong", 3.0, 7.0),
        ({"unit": "furlong"}, " Furlong", 3.0, 3.0),
        ({"unit": "μg/L"}, "µg/l", 3.0, 3.0),
    ],
)
def test_values_of_textbooks(here, there, value, expected):
    found = conversion_of(variable(there), SiteUnit(**here)).apply(np.array([value]))[0]
    assert found == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [
        ({"unit": "mg/dL"}, "mmol/L", r"x.molar_mass: .*write molar_mass = 386"),
        ({"unit": "mg/dk"}, "mmol/L", r"x.unit: no conversion is known for 'mg/dk'; did you mean"),
        ({"unit": "mg/dL"}, "score", r"no conversion is known for 'score'.*write factor"),
        ({"unit": "kg"}, "cm", r"'kg' is a mass and the study's 'cm' a length"),
        ({"unit": "kg"}, "", r"the study declares no unit for x"),
        ({"unit": "kg", "factor": 0.0}, "g", r"factor other than 0"),
        ({"unit": "kg", "factor": float("nan")}, "g", r"finite factor"),
    ],
)
def test_no_unit_is_guessed(here, there, message):
    with pytest.raises(DataError, match=message):
        conversion_of(variable(there), SiteUnit(**here))


def test_levels_have_no_unit():
    sex = Variable(name="sex", kind=Kind.BINARY, unit="kg")
    with pytest.raises(DataError, match="the study has levels"):
        conversion_of(sex, SiteUnit(unit="kg"))


@settings(derandomize=True)
@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_undo_is_the_inverse(value, factor, offset):
    conversion = Conversion(factor=factor, offset=offset)
    back = conversion.undo(conversion.apply(np.array([value])))[0]
    assert back == pytest.approx(value, rel=1e-9, abs=1e-5)
