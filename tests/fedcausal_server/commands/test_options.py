import pytest

from fedcausal.errors import InputError
from fedcausal_server.commands.options import passphrase_from, read_passphrase


@pytest.mark.parametrize("text", ["nine lives", "nine lives\n", " nine lives \r\nof a cat\n"])
def test_a_passphrase_is_the_first_line(tmp_path, text):
    file = tmp_path / "words"
    file.write_bytes(text.encode())
    assert read_passphrase(file) == "nine lives"


@pytest.mark.parametrize("content", [b"", b"\n", b"  \nsecond\n", b"\xff\xfe\xff"])
def test_a_file_without_one_is_a_mistake_and_never_no_passphrase(tmp_path, content):
    file = tmp_path / "words"
    file.write_bytes(content)
    with pytest.raises(InputError, match="words"):
        read_passphrase(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="name a passphrase's file"):
        read_passphrase(tmp_path / "none")


def test_nobody_is_asked_for_a_passphrase_that_is_not_needed(coordinator_home, tmp_path):
    file = tmp_path / "words"
    file.write_text("nine lives\n")
    assert passphrase_from(None, coordinator_home.folder) is None
    assert passphrase_from(file, coordinator_home.folder) == "nine lives"
