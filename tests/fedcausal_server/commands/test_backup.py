import json

from fedcausal.cli import main


def test_backup_and_restore_from_the_command_line(coordinator_home, tmp_path, capsys):
    file, there, words = tmp_path / "b.tar", tmp_path / "there", tmp_path / "passphrase"
    words.write_text("nine lives of a cat\n")
    home = str(coordinator_home.folder)
    assert main(["coordinator", "backup", home, str(file)]) == 0
    assert "Keys are NOT in it" in capsys.readouterr().out
    file.unlink()
    option = ["--passphrase-file", str(words)]
    assert main(["coordinator", "backup", home, str(file), *option, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["has_keys"] is True
    assert main(["coordinator", "restore", str(file), str(there), *option]) == 0
    assert "keys included, encrypted" in capsys.readouterr().out
    assert main(["coordinator", "enrol", str(there)]) == 0
    assert main(["coordinator", "restore", str(file), str(there), *option]) == 4
    assert "nothing is overwritten" in capsys.readouterr().err
    assert main(["coordinator", "restore", str(tmp_path / "no.tar"), str(tmp_path / "x")]) == 4
    assert "no.tar: cannot be read" in capsys.readouterr().err
    missing = ["--passphrase-file", str(tmp_path / "none")]
    assert main(["coordinator", "backup", home, str(tmp_path / "c.tar"), *missing]) == 4
