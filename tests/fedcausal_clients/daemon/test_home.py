import json

import pytest

from fedcausal.errors import InputError, StudyError
from fedcausal_clients.daemon.home import (
    Peer,
    create_party_home,
    load_identity,
    load_node_key,
    pin_peers,
    read_coordinator,
    write_coordinator,
)
from fedcausal_clients.keys import accept_rotation
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.keys.enrolment import Invitation
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import rotate

PEER = Peer(name="south", role="site", identity=Identity.generate().public)


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "north"
    create_party_home(folder, name="north", role="site", data="rows.csv")
    return folder


def test_keys_are_made_once_and_closed_to_others(home):
    identity, node_key = load_identity(home).public, load_node_key(home)
    again = create_party_home(home, name="north", role="site", data="rows.csv")
    assert again == load_identity(home).fingerprint()
    assert (load_identity(home).public, load_node_key(home)) == (identity, node_key)
    for name in ("identity.pem", "node.key"):
        assert (home / "state" / name).stat().st_mode & 0o777 == 0o600


def test_a_new_site_approves_by_hand_and_trusts_nobody(home):
    config = SiteConfig.load(home)
    assert (config.policy.approve, config.trust) == ("manual", {})
    assert config.data.source == "csv"


def test_a_steward_has_no_data(tmp_path):
    create_party_home(tmp_path / "s", name="s", role="steward", data=None)
    assert SiteConfig.load(tmp_path / "s").data is None
    with pytest.raises(InputError, match="--data"):
        create_party_home(tmp_path / "t", name="t", role="steward", data="x.csv")
    with pytest.raises(InputError, match="--data"):
        create_party_home(tmp_path / "t", name="t", role="site", data=None)
    with pytest.raises(InputError, match="--name"):
        create_party_home(tmp_path / "t", name="a b", role="steward", data=None)
    with pytest.raises(StudyError, match="role"):
        create_party_home(tmp_path / "t", name="t", role="king", data=None)
    assert not (tmp_path / "t").exists()


def test_a_folder_belongs_to_one_party(home):
    with pytest.raises(InputError, match="is for site 'north'"):
        create_party_home(home, name="south", role="site", data="rows.csv")
    with pytest.raises(InputError, match=r"has other data .*rows.csv\) than --data other.csv"):
        create_party_home(home, name="north", role="site", data="other.csv")
    assert create_party_home(home, name="north", role="site", data=None)


def test_pinned_peers_are_trusted(home):
    assert pin_peers(home, [PEER]) == ("south",)
    assert SiteConfig.load(home).trust == {"south": PEER.identity}
    assert pin_peers(home, [PEER]) == ()


def test_another_key_for_a_pinned_name_is_an_alarm(home):
    pin_peers(home, [PEER])
    other = Peer(name="south", role="site", identity=Identity.generate().public)
    with pytest.raises(InputError, match="ask that party"):
        pin_peers(home, [other])
    assert SiteConfig.load(home).trust == {"south": PEER.identity}


def test_a_rotation_that_was_accepted_is_no_alarm(home, tmp_path):
    """The coordinator names the new key, the site file goes on naming the first one."""
    old, fresh = Identity.generate(), Identity.generate()
    pin_peers(home, [Peer(name="south", role="site", identity=old.public)])
    named = [Peer(name="south", role="site", identity=fresh.public)]
    with pytest.raises(InputError, match="ask that party"):
        pin_peers(home, named)
    file = tmp_path / "rotation.json"
    file.write_text(json.dumps(rotate("south", old, fresh).to_json()))
    accept_rotation(home, file)
    late = Peer(name="west", role="site", identity=Identity.generate().public)
    assert pin_peers(home, [*named, late]) == ("west",)
    with pytest.raises(InputError, match="ask that party"):
        pin_peers(home, [Peer(name="south", role="site", identity=old.public)])
    assert SiteConfig.load(home).trust == {"south": old.public, "west": late.identity}


def test_a_moved_section_is_not_guessed_at(home):
    text = (home / "site.toml").read_text()
    (home / "site.toml").write_text(text + "\n[columns]\n")
    with pytest.raises(InputError, match="last section"):
        pin_peers(home, [PEER])


def test_who_has_not_joined_is_told_so(home):
    with pytest.raises(InputError, match="site join"):
        read_coordinator(home)
    invitation = Invitation(
        address="h:1", authority="pem", name="north", role="site", token="t", expires=1.0
    )
    write_coordinator(home, invitation)
    assert read_coordinator(home).address == "h:1"
    assert read_coordinator(home).authority.read_text() == "pem"


def test_a_missing_node_key_says_what_to_type(home):
    (home / "state" / "node.key").unlink()
    with pytest.raises(InputError, match="site init"):
        load_node_key(home)
