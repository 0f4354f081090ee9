from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys.certificates import make_authority, make_node_key, node_public_key
from fedcausal_privacy.keys.client_certificates import (
    certificate_serial,
    check_client_certificate,
    make_client_certificate,
    make_revocation_list,
    node_key_as_pem,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
AUTHORITY, KEY = make_authority("n", now=NOW)
PRIVATE = make_node_key()
PUBLIC = node_public_key(PRIVATE)
CERTIFICATE = make_client_certificate(AUTHORITY, KEY, PUBLIC, "north", now=NOW)


def test_it_is_a_clients_certificate_and_nothing_else():
    found = x509.load_pem_x509_certificate(CERTIFICATE)
    uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(uses.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert uses.critical
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.subject.rfc4514_string() == "CN=north"
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY))
    assert timedelta(390) < found.not_valid_after_utc - NOW < timedelta(398)


def test_it_is_taken_for_the_partys_own_key_alone():
    check_client_certificate(CERTIFICATE, AUTHORITY, PUBLIC)
    with pytest.raises(InputError, match="another key"):
        check_client_certificate(CERTIFICATE, AUTHORITY, node_public_key(make_node_key()))
    other, _ = make_authority("n", now=NOW)
    for certificate, authority in ((CERTIFICATE, other), (b"x", AUTHORITY)):
        with pytest.raises(InputError, match="authority made"):
            check_client_certificate(certificate, authority, PUBLIC)


def test_the_nodes_key_fits_its_certificate():
    key = load_pem_private_key(node_key_as_pem(PRIVATE), None)
    assert key.public_key() == x509.load_pem_x509_certificate(CERTIFICATE).public_key()


def test_a_revoked_one_is_on_a_signed_list():
    serial, since = certificate_serial(CERTIFICATE), NOW + timedelta(days=3)
    content = make_revocation_list(AUTHORITY, KEY, {serial: since}, now=NOW + timedelta(days=4))
    found = x509.load_pem_x509_crl(content)
    authority = x509.load_pem_x509_certificate(AUTHORITY)
    assert found.is_signature_valid(authority.public_key())
    entry = found.get_revoked_certificate_by_serial_number(serial)
    assert entry.revocation_date_utc == since
    assert found.get_revoked_certificate_by_serial_number(serial + 1) is None
    assert len(x509.load_pem_x509_crl(make_revocation_list(AUTHORITY, KEY, {}, now=NOW))) == 0


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(InputError, match="NIST"):
        make_client_certificate(AUTHORITY, KEY, ED25519, "north", now=NOW)


ED25519 = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""
