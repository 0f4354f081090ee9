"""An operator rotates, accepts and revokes; every party then refuses what it should refuse."""

from dataclasses import replace

import pytest

from fedcausal.errors import InputError
from fedcausal_clients.home import create_identity, open_home
from fedcausal_clients.keys import accept_rotation, known_keys, revoke, rotate_identity
from fedcausal_clients.run_state import RunState, load_run, save_run
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import fingerprint_of
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.roster import check_trusted

NAMES = ("keys", "north", "south", "west")


@pytest.fixture
def homes(tmp_path):
    """A steward and three sites that pinned each other; `south` has a passphrase."""
    for name in NAMES:
        home, extra = tmp_path / name, ""
        home.mkdir()
        if name == "south":
            (home / "word").write_text("correct horse battery staple\n")
            extra = 'passphrase_file = "word"\n'
        kind = 'role = "steward"\n' if name == "keys" else ""
        data = "" if kind else '[data]\nsource = "csv"\npath = "rows.csv"\n'
        (home / "site.toml").write_text(f'[site]\nname = "{name}"\n{kind}{extra}{data}')
    words = {"south": "correct horse battery staple"}
    keys = {n: create_identity(tmp_path / n, passphrase=words.get(n)) for n in NAMES}
    for name in NAMES:
        pins = "".join(f'{n} = "{key}"\n' for n, key in keys.items() if n != name)
        with (tmp_path / name / "site.toml").open("a") as file:
            file.write(f"[trust]\n{pins}")
    return tmp_path


def seen(homes, name):
    return {key.name: (key.state, key.public) for key in known_keys(homes / name)}


def test_everybody_sees_every_fingerprint(homes):
    for name in NAMES:
        keys = known_keys(homes / name)
        assert keys[0].name == name
        assert [key.state for key in keys] == ["own", "trusted", "trusted", "trusted"]
        assert keys[1].fingerprint == fingerprint_of(keys[1].public)


def test_a_rotated_key_is_followed_by_who_accepts_it_and_refused_by_who_does_not(homes):
    old = seen(homes, "north")["south"][1]
    file = rotate_identity(homes / "south")
    new = seen(homes, "south")["south"][1]
    assert new != old
    assert b"ENCRYPTED" in (homes / "south" / "state" / "identity.pem").read_bytes()
    assert not list((homes / "south" / "state").glob("identity.next*"))
    accept_rotation(homes / "north", file)
    assert seen(homes, "north")["south"] == ("trusted", new)
    assert seen(homes, "west")["south"] == ("trusted", old)
    again = rotate_identity(homes / "south")
    accept_rotation(homes / "north", again)
    assert seen(homes, "north")["south"][1] == seen(homes, "south")["south"][1]
    with open_home(homes / "north") as home:
        assert home.gate.audit.verify() == 2


def test_a_rotation_from_elsewhere_changes_nothing(homes):
    file = rotate_identity(homes / "south")
    accept_rotation(homes / "north", file)
    with pytest.raises(InputError, match="accepts today"):
        accept_rotation(homes / "north", file)
    for content in (b"", file.read_bytes().replace(b"south", b"west")):
        file.write_bytes(content)
        with pytest.raises(InputError, match=str(file.name)):
            accept_rotation(homes / "keys", file)
    with pytest.raises(InputError, match="cannot be read"):
        accept_rotation(homes / "keys", homes / "nothing.json")


@pytest.mark.parametrize("name", ["keys", "north"])
def test_a_manifest_with_a_revoked_key_is_refused_by_site_and_steward(homes, name):
    pool = SecureSum.open(("north", "south", "west"))
    keys = {n: seen(homes, n)[n][1] for n in NAMES}
    named = pool.aggregator.manifest
    manifest = replace(
        named,
        roster=tuple(replace(p, identity=keys[p.name]) for p in named.roster),
        steward=replace(named.steward, name="keys", identity=keys["keys"]),
    )
    reasons = []
    with open_home(homes / name) as home:
        check_trusted(manifest, home.trusted, reasons.append)
    revoke(homes / name, fingerprint_of(keys["south"]), reason="laptop\nstolen")
    with (
        open_home(homes / name) as home,
        pytest.raises(ProtocolError, match="was refused"),
    ):
        check_trusted(manifest, home.trusted, reasons.append)
    assert "'south' is not a trusted party" in reasons[-1]
    assert seen(homes, name)["south"][0] == "revoked"
    assert "laptop stolen" in (homes / name / "revoked.txt").read_text()


def test_what_a_stolen_key_signed_after_its_revocation_is_worth_nothing(homes):
    stolen = seen(homes, "north")["south"][1]
    revoke(homes / "north", fingerprint_of(stolen))
    with pytest.raises(InputError, match="accepts today"):
        accept_rotation(homes / "north", rotate_identity(homes / "south"))


def test_a_revocation_must_be_a_fingerprint_and_the_file_stays_as_it_was(homes):
    mark = fingerprint_of(Identity.generate().public)
    revoke(homes / "north", mark)
    for wrong in ("nobody", mark.upper(), mark[:-1]):
        with pytest.raises(InputError, match=r"revoked\.txt:2"):
            revoke(homes / "north", wrong)
    assert (homes / "north" / "revoked.txt").read_text() == mark + "\n"


def test_the_states_of_runs_go_with_the_old_key(homes):
    with open_home(homes / "north") as home:
        home.store.write("run-r1", b"sealed under the old key")
        home.store.write("rosters-1", b"[]")
    rotate_identity(homes / "north")
    with open_home(homes / "north") as home:
        assert home.store.read("run-r1") == b""
        assert "rosters-1" in home.store.names()


def test_a_run_of_the_old_key_is_over_and_its_name_is_taken(homes):
    """Begun anew, it would release what the ledger has on record as paid, with other noise."""
    with open_home(homes / "south") as home:
        save_run(home.store, RunState(run_id="r1", secure_sum=b"keys"))
    rotate_identity(homes / "south")
    with open_home(homes / "south") as home:
        assert home.store.read("run-r1") == b""
        with pytest.raises(ProtocolError, match="start a new run"):
            load_run(home.store, "r1")
