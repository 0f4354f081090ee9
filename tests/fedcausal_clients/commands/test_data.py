import pytest

from fedcausal.cli import main


@pytest.mark.parametrize("arguments", [["data"], ["data", "inspect"]])
def test_help_and_missing_arguments(capsys, arguments):
    assert main(["site", *arguments]) in (0, 2, 4)
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_without_a_site_file_is_a_plain_error(tmp_path, capsys):
    (tmp_path / "study.toml").write_text(
        '[variables]\na = { kind = "binary" }\nb = { kind = "binary" }\n'
    )
    arguments = ["site", "data", "inspect", str(tmp_path / "study.toml"), "--home", str(tmp_path)]
    assert main(arguments) == 4
    assert "make one with" in capsys.readouterr().err
