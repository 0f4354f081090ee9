"""`fedcausal key`: what an operator types, in lines and as JSON."""

import json

import pytest
from typer.testing import CliRunner

from fedcausal.errors import InputError
from fedcausal_clients.commands.key import app
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import fingerprint_of

SITE = """[site]
name = "{name}"
[data]
source = "csv"
path = "rows.csv"
[trust]
{other} = "{key}"
"""


@pytest.fixture
def homes(tmp_path):
    for name, other in (("north", "south"), ("south", "north")):
        (tmp_path / name).mkdir()
        text = SITE.format(name=name, other=other, key=Identity.generate().public)
        (tmp_path / name / "site.toml").write_text(text)
    key = said("create", tmp_path / "south", "--quiet").strip()
    (tmp_path / "north" / "site.toml").write_text(
        SITE.format(name="north", other="south", key=key)
    )
    said("create", tmp_path / "north")
    return tmp_path


def said(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def data(*words):
    return json.loads(said(*words, "--format", "json"))["data"]


def test_a_key_is_made_once_and_shown(homes):
    made = data("create", homes / "south")
    assert made == data("create", homes / "south")
    assert made["fingerprint"] == fingerprint_of(made["public"])
    assert made["encrypted"] is False
    assert "NOT encrypted" in said("create", homes / "south")
    shown = said("show", homes / "north").splitlines()
    assert shown[0].split() == ["party", "key", "fingerprint"]
    assert made["fingerprint"] in shown[2]


def test_rotate_accept_and_revoke(homes):
    before = data("create", homes / "south")["fingerprint"]
    file = said("rotate", homes / "south", "--quiet").strip()
    assert "fedcausal key accept" in said("rotate", homes / "north")
    assert "from now on" in said("accept", homes / "north", file)
    after = data("show", homes / "north")["keys"][1]
    assert after["state"] == "trusted"
    assert after["fingerprint"] == data("create", homes / "south")["fingerprint"] != before
    said("revoke", homes / "north", after["fingerprint"], "--reason", "lost")
    assert data("show", homes / "north")["keys"][1]["state"] == "revoked"
    with pytest.raises(InputError, match="fingerprint"):
        said("revoke", homes / "north", "somebody")


def test_a_passphrase_file_encrypts_the_key(tmp_path):
    text = SITE.format(name="north", other="south", key="ab" * 32)
    (tmp_path / "site.toml").write_text(text.replace("[data]", 'passphrase_file = "word"\n[data]'))
    (tmp_path / "word").write_text("correct horse battery staple")
    assert data("create", tmp_path)["encrypted"] is True
    assert b"ENCRYPTED" in (tmp_path / "state" / "identity.pem").read_bytes()
