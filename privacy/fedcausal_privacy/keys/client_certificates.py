"""Client certificates: a proxy's proof that a connection comes from an enrolled party."""

import datetime
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedcausal_privacy.errors import InputError

__all__ = [
    "certificate_serial",
    "check_client_certificate",
    "make_client_certificate",
    "make_revocation_list",
    "node_key_as_pem",
]

CLIENT_DAYS = 397
# A proxy refuses everybody once its list is out of date, so it lives as long as a certificate.
LIST_DAYS = 397
_LEEWAY = datetime.timedelta(minutes=5)


def make_client_certificate(
    authority: bytes, authority_key: bytes, node_key: str, name: str, *, now: datetime.datetime
) -> bytes:
    """A certificate (PEM) for the node key of a party, good for the client's side of TLS only.

    It binds the key that the party's identity signed when it joined: no key is made for it, and
    none travels.

    Raises
    ------
    InputError
        The node key or the authority's is no elliptic-curve key.
    """
    issuer = x509.load_pem_x509_certificate(authority)
    public = load_pem_public_key(node_key.encode())
    issuer_key = _ec_key(authority_key)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise InputError(f"{name}: expected a node key on a NIST curve; let the party join anew")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + datetime.timedelta(days=CLIENT_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
        .sign(issuer_key, hashes.SHA384())
    )
    return certificate.public_bytes(Encoding.PEM)


def make_revocation_list(
    authority: bytes,
    authority_key: bytes,
    revoked: Mapping[int, datetime.datetime],
    *,
    now: datetime.datetime,
) -> bytes:
    """A signed list (CRL, PEM) of serial numbers that count no longer, with since when."""
    issuer, key = x509.load_pem_x509_certificate(authority), _ec_key(authority_key)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - _LEEWAY)
        .next_update(now + datetime.timedelta(days=LIST_DAYS))
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
    )
    for serial, since in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.PEM)


def certificate_serial(certificate: bytes) -> int:
    """The serial number of a PEM certificate."""
    return x509.load_pem_x509_certificate(certificate).serial_number


def check_client_certificate(certificate: bytes, authority: bytes, node_key: str) -> None:
    """Refuse a certificate that is not of this authority, or not for this party's own key.

    Raises
    ------
    InputError
        It is another one, or no certificate.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate)
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except Exception:
        # Wrong bytes, wrong types and wrong signatures come as different errors.
        raise InputError("expected a certificate that the coordinator's authority made") from None
    public = found.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if public.decode() != node_key:
        raise InputError("the certificate is for another key than this party's")


def node_key_as_pem(private: bytes) -> bytes:
    """A node's private key (OpenSSH) in the form that TLS wants (PKCS #8); it is not encrypted."""
    key = load_ssh_private_key(private, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _ec_key(private: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(private, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError("the authority's key is not an elliptic-curve key; make a new authority")
    return key
