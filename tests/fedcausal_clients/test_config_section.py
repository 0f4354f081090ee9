import pytest

from fedcausal.errors import StudyError
from fedcausal_clients.config_section import Section


class Example(Section):
    number: int = 3
    hidden: str = "x"


def test_a_section_takes_its_keys_and_no_others():
    assert Example.check({"number": 4}).number == 4
    with pytest.raises(StudyError, match=r"site.toml: numbr: unknown key; did you mean 'number'"):
        Example.check({"numbr": 4})
    with pytest.raises(StudyError, match=r"policy.toml: number: expected a whole number"):
        Example.check({"number": "4"}, source="policy.toml")
