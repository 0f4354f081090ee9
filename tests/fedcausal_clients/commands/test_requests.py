import pytest

from fedcausal.cli import main


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["approve", "x"]])
def test_a_folder_that_is_no_site_is_a_plain_error(tmp_path, capsys, command):
    assert main(["site", "requests", *command, "--home", str(tmp_path)]) == 4
    assert "Traceback" not in capsys.readouterr().err


def test_a_denial_without_a_reason_is_a_usage_error(tmp_path, capsys):
    assert main(["site", "requests", "deny", "x", "--home", str(tmp_path)]) == 4
    assert "--reason" in capsys.readouterr().err
