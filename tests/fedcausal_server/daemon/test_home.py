import datetime
import random
import threading

import pytest
import tomli_w

from fedcausal.errors import InputError, StudyError
from fedcausal_privacy.keys.certificates import days_left
from fedcausal_server.daemon.home import (
    CoordinatorConfig,
    create_home,
    open_home,
    renew_certificate,
)

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def home(tmp_path):
    return create_home(tmp_path / "c", name="north", hosts=["link.example.org"], now=NOW)


def test_a_home_is_made_once_and_opened(home):
    assert open_home(home.folder) == home
    assert home.public_address == "link.example.org:8443"
    assert home.local_address == "127.0.0.1:8443"
    with pytest.raises(InputError, match="holds a coordinator"):
        create_home(home.folder, name="north", hosts=["x"], now=NOW)


def test_secrets_are_for_the_owner_alone(home):
    secret = (home.authority_key, home.certificate, home.operator_token, home.task_secret)
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert home.state.stat().st_mode & 0o777 == 0o700
    assert days_left(home.certificate.read_bytes(), now=NOW) == pytest.approx(397, abs=1)


def test_a_part_that_is_gone_is_named(home):
    home.certificate.unlink()
    with pytest.raises(InputError, match=r"server\.pem"):
        open_home(home.folder)


def test_a_renewed_certificate_is_of_the_same_authority(home):
    before, authority = home.certificate.read_bytes(), home.authority.read_bytes()
    later = NOW + datetime.timedelta(days=390)
    renew_certificate(home, now=later)
    assert home.certificate.read_bytes() != before
    assert home.authority.read_bytes() == authority
    assert days_left(home.certificate.read_bytes(), now=later) == pytest.approx(397, abs=1)
    home.authority_key.unlink()
    with pytest.raises(InputError, match="bring it back"):
        renew_certificate(home, now=later)


def test_no_home_says_what_to_type(tmp_path):
    with pytest.raises(InputError, match="coordinator init"):
        open_home(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0),
        ("port", "8443"),
        ("hosts", []),
        ("hosts", ["a b"]),
        ("bind", "10.0.0.1"),
        ("name", ""),
        ("prot", 1),
    ],
)
def test_wrong_keys_are_named(key, value):
    content = {"name": "north", "hosts": ["link.example.org"], key: value}
    with pytest.raises(StudyError, match=rf"coordinator.toml: coordinator: {key}"):
        CoordinatorConfig.check(content)


@pytest.mark.parametrize("text", ["", "[", "coordinator = 1", "[other]\n"])
def test_a_file_that_is_none_is_no_traceback(home, text):
    (home.folder / "coordinator.toml").write_text(text)
    with pytest.raises(InputError, match=r"coordinator\.toml"):
        open_home(home.folder)


def test_addresses_of_the_newer_kind_get_brackets(tmp_path):
    made = create_home(tmp_path, name="n", hosts=["2001:db8::1"], public_port=443, now=NOW)
    assert made.public_address == "[2001:db8::1]:443"


def test_the_book_is_changed_by_one_at_a_time(home):
    def invite(number):
        with home.changed_book() as held:
            held[0] = held[0].invite(f"site-{number}", "site", token="t", expires=1.0)

    threads = [threading.Thread(target=invite, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(home.book().enrolments) == 8


def test_a_change_that_fails_leaves_the_book(home):
    def fail():
        with home.changed_book() as held:
            held[0] = held[0].invite("site", "site", token="t", expires=1.0)
            raise InputError("no")

    with pytest.raises(InputError):
        fail()
    assert home.book().enrolments == {}


def test_a_store_in_a_database_is_checked_at_the_door(home):
    path = home.folder / "coordinator.toml"
    plain = path.read_text()
    path.write_text(plain + 'store = "postgresql://causal@db.example/studies"\n')
    assert open_home(home.folder).config.store.endswith("/studies")
    path.write_text(plain + 'store = "postgresql://causal:secret@db.example/studies"\n')
    with pytest.raises(InputError, match=r"coordinator\.toml: coordinator: store.*passfile"):
        open_home(home.folder)


JUNK = [3, -1, 70000, 2.5, "x", "", True, [], [[]], [1], {}, "\x00", "postgresql://a:b@c/d"]


def test_no_mutation_of_a_coordinator_file_ends_in_a_traceback(home):
    """Any other exception than an `InputError` (exit code 4) would fail here."""
    rng, path, refused = random.Random(7), home.folder / "coordinator.toml", []
    section = {"name": "n", "hosts": ["h"], "port": 1, "bind": "127.0.0.1", "public_port": 2}
    for _ in range(200):
        changed = dict(section)
        key = rng.choice([*section, "store"])
        kind = rng.choice(["delete", "junk", "typo"])
        value = changed.pop(key, "postgresql://c/d")
        if kind == "junk":
            changed[key] = rng.choice(JUNK)
        elif kind == "typo":
            changed[f"{key[:-1]}q"] = value
        path.write_text(tomli_w.dumps({"coordinator": changed}))
        try:
            open_home(home.folder)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) >= 100
    assert all("coordinator.toml" in told for told in refused)
