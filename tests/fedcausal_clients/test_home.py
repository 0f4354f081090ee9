import pytest

from fedcausal.errors import InputError
from fedcausal_clients.home import approve, audit_log, create_identity, note_error, open_home
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import fingerprint_of

KEY = "ab" * 32
HASH = "cd" * 32
SITE = """
[site]
name = "north"
{extra}
[data]
source = "csv"
path = "rows.csv"
[policy]
approve = "{approve}"
[trust]
south = "{key}"
"""


def written(folder, approve="by_hash", extra=""):
    folder.mkdir(exist_ok=True)
    (folder / "site.toml").write_text(SITE.format(approve=approve, key=KEY, extra=extra))
    return folder


def test_a_home_needs_its_key_first(tmp_path):
    home = written(tmp_path / "north")
    with pytest.raises(InputError, match="no key yet"), open_home(home):
        pass
    public = create_identity(home)
    assert create_identity(home) == public
    with open_home(home) as opened:
        assert opened.identity.public == public
        assert opened.trusted == {"south": KEY, "north": public}


def test_a_key_behind_a_passphrase(tmp_path):
    home = written(tmp_path / "north", extra='passphrase_file = "word"')
    words = ["open", "sesame"]
    public = create_identity(home, passphrase=" ".join(words))
    (home / "word").write_text("open sesame\n")
    with open_home(home) as opened:
        assert opened.identity.public == public
    (home / "word").write_text("open barley\n")
    with pytest.raises(InputError, match="passphrase"), open_home(home):
        pass


def test_manual_approvals_are_kept_and_audited(tmp_path):
    home = written(tmp_path / "north", approve="manual")
    create_identity(home)
    with open_home(home) as opened:
        assert opened.gate.approved == frozenset()
    approve(home, HASH)
    with open_home(home) as opened:
        assert opened.gate.approved == {HASH}
        assert opened.gate.audit.verify() == 1


def test_the_error_log_is_private(tmp_path):
    note_error(tmp_path, RuntimeError("what happened"))
    log = tmp_path / "errors.log"
    assert "what happened" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    note_error(tmp_path / "missing", RuntimeError("lost"))


def test_a_passphrase_file_that_is_not_there_is_named(tmp_path):
    home = written(tmp_path / "north", extra='passphrase_file = "word"')
    words = ["open", "sesame"]
    create_identity(home, passphrase=" ".join(words))
    with pytest.raises(InputError, match=r"site\.passphrase_file"), open_home(home):
        pass


def test_a_revoked_party_is_no_party_and_a_revoked_role_does_not_start(tmp_path):
    home = written(tmp_path / "north")
    own = create_identity(home)
    (home / "revoked.txt").write_text(fingerprint_of(Identity.generate().public))
    with open_home(home) as opened:
        assert set(opened.trusted) == {"north", "south"}
    (home / "revoked.txt").write_text(fingerprint_of(KEY))
    with open_home(home) as opened:
        assert set(opened.trusted) == {"north"}
    (home / "revoked.txt").write_text(fingerprint_of(own))
    with pytest.raises(InputError, match="own key is revoked"), open_home(home):
        pass


def test_lines_outside_and_inside_a_message_are_one_signed_chain(tmp_path):
    home = written(tmp_path / "north")
    public = create_identity(home)
    audit_log(home).append("started", {})
    with open_home(home) as opened:
        opened.gate.audit.append("released", {})
        audit_log(home).append("stopping", {})
    assert audit_log(home).verify(public=public) == 3
