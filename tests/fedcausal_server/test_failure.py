import pytest

from fedcausal import errors
from fedcausal.errors import FedCausalError, LinkError
from fedcausal_server.failure import forget_failure, note_failure, noted_failure, read_failure


@pytest.mark.parametrize("kind", errors.__all__)
def test_every_error_comes_back_as_itself(tmp_path, kind):
    with pytest.raises(FedCausalError), noted_failure(tmp_path):
        raise getattr(errors, kind)("why")
    found = read_failure(tmp_path)
    assert (type(found).__name__, str(found)) == (kind, "why")


def test_no_failure_is_none(tmp_path):
    with noted_failure(tmp_path):
        pass
    assert read_failure(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_note_is_none(tmp_path, text):
    (tmp_path / "failure.json").write_text(text)
    assert read_failure(tmp_path) is None


def test_a_name_that_is_no_error_of_ours_is_the_root(tmp_path):
    (tmp_path / "failure.json").write_text('{"kind": "__all__", "message": "why"}')
    assert type(read_failure(tmp_path)) is FedCausalError


def test_a_missing_workspace_does_not_hide_the_error(tmp_path):
    with pytest.raises(LinkError), noted_failure(tmp_path / "gone"):
        raise LinkError("why")


def test_a_failure_is_forgotten(tmp_path):
    note_failure(tmp_path, LinkError("why"))
    assert str(read_failure(tmp_path)) == "why"
    for _ in range(2):
        forget_failure(tmp_path)
        assert read_failure(tmp_path) is None
