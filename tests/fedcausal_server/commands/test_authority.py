import json

import pytest

from fedcausal.cli import main
from fedcausal_privacy.keys.authority_key import is_locked


@pytest.fixture
def words(tmp_path):
    """Files with passphrases."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"the words of {name}\n")
    return tmp_path


@pytest.fixture
def folder(tmp_path, words, capsys):
    home = tmp_path / "c"
    given = ("--host", "127.0.0.1", "--port", "1", "--passphrase-file", str(words / "one"))
    assert main(["coordinator", "init", str(home), *given]) == 0
    capsys.readouterr()
    return home


def test_a_home_with_a_protected_authority(folder, words, capsys):
    assert is_locked((folder / "tls" / "ca.key").read_bytes())
    before = (folder / "tls" / "server.pem").read_bytes()
    assert main(["coordinator", "renew", str(folder)]) == 4
    assert "--passphrase-file" in capsys.readouterr().err
    one, two = str(words / "one"), str(words / "two")
    assert main(["coordinator", "renew", str(folder), "--passphrase-file", one]) == 0
    assert (folder / "tls" / "server.pem").read_bytes() != before
    change = ["--passphrase-file", one, "--new-passphrase-file", two]
    assert main(["coordinator", "protect", str(folder), *change]) == 0
    assert main(["coordinator", "renew", str(folder), "--passphrase-file", one]) == 4
    assert main(["coordinator", "certify", str(folder), "--passphrase-file", two]) == 0
    assert (folder / "tls" / "revoked.crl").is_file()


@pytest.mark.usefixtures("control")
def test_a_party_is_revoked_also_without_the_authoritys_key(coordinator_home, join, capsys):
    home, marks = str(coordinator_home.folder), {}
    for name in ("north", "south", "west"):
        marks[name] = join(name).fingerprint()
    assert main(["coordinator", "revoke", home, "north", "--why", "stolen"]) == 0
    assert marks["north"] in capsys.readouterr().out
    assert main(["coordinator", "certify", home]) == 0
    capsys.readouterr()
    asked = ["coordinator", "revoke", home, "south", "--why", "left", "--format", "json"]
    assert main(asked) == 0
    answer = json.loads(capsys.readouterr().out)["data"]
    assert answer == {"name": "south", "fingerprint": marks["south"], "listed": True}
    coordinator_home.authority_key.rename(coordinator_home.folder / "elsewhere")
    assert main(["coordinator", "revoke", home, "west", "--why", "left"]) == 4
    assert "list could not be signed" in capsys.readouterr().err
    assert coordinator_home.book().enrolled() == ()


@pytest.mark.parametrize(
    "given",
    [
        ["revoke", "HOME", "nobody", "--why", "x"],
        ["revoke", "HOME", "nobody"],
        ["certify", "HOME", "--passphrase-file", "nothing"],
        ["protect", "HOME"],
        ["protect", "HOME", "--new-passphrase-file", "nothing"],
    ],
)
def test_a_users_mistake_is_exit_code_4(folder, capsys, given):
    assert main(["coordinator", *[str(folder) if w == "HOME" else w for w in given]]) == 4
    assert "Traceback" not in capsys.readouterr().err
