import pytest

from fedcausal.errors import FedCausalError
from fedcausal.refusals import RefusalCode, explain, refusal_error


@pytest.mark.parametrize("code", RefusalCode)
def test_every_code_has_words_and_an_error(code):
    error = refusal_error("north", str(code), "age")
    assert isinstance(error, FedCausalError)
    assert str(error) == f"north:age: {code}: {explain(code)}"


def test_words_of_a_site_are_never_repeated():
    error = refusal_error("north", "patient 17 has no spleen")
    assert "17" not in str(error)
    assert "site-error" in str(error)


@pytest.mark.parametrize("where", ["x" * 10_000, "age\x1b[2J", "age\nnorth: all is well"])
def test_a_name_that_is_none_is_left_out(where):
    """A hostile site's words would reach the coordinator's terminal and log."""
    assert str(refusal_error("north", "protocol", where)).startswith("north: protocol: ")
    assert str(refusal_error(where, "protocol", "age")).startswith("unnamed:age: protocol: ")
