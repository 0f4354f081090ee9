from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from fedcausal.errors import InputError
from fedcausal_privacy.keys.client_certificates import certificate_serial
from fedcausal_server.daemon.home import renew_certificate
from fedcausal_server.parties import authority, enrolling
from fedcausal_server.parties.authority import certify, current_certificate, protect

NOW = datetime.now(UTC)


def listed(home):
    return {
        entry.serial_number for entry in x509.load_pem_x509_crl(home.revocation_list.read_bytes())
    }


def party(home, name):
    return home.book().enrolments[name]


@pytest.mark.usefixtures("control")
def test_enrolled_parties_get_certificates_once(coordinator_home, join):
    join("north")
    join("late", confirmed=False)
    assert certify(coordinator_home, now=NOW) == ("north",)
    assert certify(coordinator_home, now=NOW) == ()
    assert listed(coordinator_home) == set()
    assert current_certificate(coordinator_home, party(coordinator_home, "late")) is None


@pytest.mark.usefixtures("control")
def test_a_certificate_is_renewed_in_its_last_month_and_the_old_one_still_counts(
    coordinator_home, join
):
    join("north")
    certify(coordinator_home, now=NOW)
    first = current_certificate(coordinator_home, party(coordinator_home, "north"))
    assert certify(coordinator_home, now=NOW + timedelta(days=360)) == ()
    assert certify(coordinator_home, now=NOW + timedelta(days=370)) == ("north",)
    assert current_certificate(coordinator_home, party(coordinator_home, "north")) != first
    assert listed(coordinator_home) == set()
    assert first.exists()


@pytest.mark.usefixtures("control")
def test_all_certificates_of_a_revoked_party_are_listed(coordinator_home, join):
    join("north")
    join("south")
    certify(coordinator_home, now=NOW)
    certify(coordinator_home, now=NOW + timedelta(days=370))
    folder = coordinator_home.client_certificates
    serials = {certificate_serial(path.read_bytes()) for path in folder.glob("north/*.crt")}
    assert len(serials) == 2
    enrolling.revoke(coordinator_home, "north", why="stolen")
    assert certify(coordinator_home, now=NOW) == ()
    assert listed(coordinator_home) == serials
    # Who comes back under the name with other keys is another one; the list stays.
    enrolling.remove(coordinator_home, "north")
    join("north")
    assert certify(coordinator_home, now=NOW) == ("north",)
    assert listed(coordinator_home) == serials


@pytest.mark.usefixtures("control")
def test_a_certificate_of_a_half_finished_withdrawal_is_not_handed_out(coordinator_home, join):
    join("north")
    certify(coordinator_home, now=NOW)
    path = current_certificate(coordinator_home, party(coordinator_home, "north"))
    content = path.read_bytes()
    authority.withdraw_certificates(coordinator_home, "north", now=NOW)
    path.write_bytes(content)
    assert current_certificate(coordinator_home, party(coordinator_home, "north")) is None


def test_a_protected_key_needs_its_passphrase(coordinator_home):
    home = coordinator_home
    assert authority.is_protected(home) is False
    protect(home, passphrase=None, new="four words")
    assert authority.is_protected(home) is True
    assert home.authority_key.stat().st_mode & 0o777 == 0o600
    for work in (certify, renew_certificate):
        with pytest.raises(InputError, match=r"ca\.key.*passphrase"):
            work(home, now=NOW)
        work(home, now=NOW, passphrase="four words")
    protect(home, passphrase="four words", new="other words")
    with pytest.raises(InputError, match="not the key's"):
        certify(home, now=NOW, passphrase="four words")
    home.authority_key.rename(home.folder / "elsewhere")
    assert authority.is_protected(home) is None
    with pytest.raises(InputError, match="away"):
        certify(home, now=NOW, passphrase="other words")
