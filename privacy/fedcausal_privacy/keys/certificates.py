"""TLS certificates of a coordinator and the keys with which nodes prove who they are."""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

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

from fedcausal_privacy.canonical import fingerprint, sha256_hex
from fedcausal_privacy.errors import InputError

__all__ = [
    "certificate_fingerprint",
    "days_left",
    "is_node_key",
    "make_authority",
    "make_node_key",
    "make_server_certificate",
    "node_public_key",
    "write_new",
]

AUTHORITY_DAYS = 3650
# Apple and Mozilla refuse server certificates that live longer than 398 days.
SERVER_DAYS = 397
# Clocks of two machines differ by minutes.
_LEEWAY = datetime.timedelta(minutes=5)


def make_authority(name: str, *, now: datetime.datetime) -> tuple[bytes, bytes]:
    """A certificate authority of one coordinator: its certificate and its private key (PEM).

    The certificate is public; sites get it with their invitation. The key signs server
    certificates only and stays at the coordinator.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    subject = _subject(f"fedcausal authority of {name}")
    public = key.public_key()
    certificate = (
        _builder(subject, subject, public, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA384())
    )
    return certificate.public_bytes(Encoding.PEM), _private_pem(key)


def make_server_certificate(
    authority: bytes, authority_key: bytes, hosts: Sequence[str], *, now: datetime.datetime
) -> tuple[bytes, bytes]:
    """A certificate for the names and addresses of a server, and its private key (PEM).

    Raises
    ------
    InputError
        No host is named.
    """
    if not hosts:
        raise InputError("expected a host name or address of the coordinator; write --host NAME")
    issuer = x509.load_pem_x509_certificate(authority)
    issuer_key = load_pem_private_key(authority_key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise InputError("the authority's key is not an elliptic-curve key; make a new authority")
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = (
        _builder(_subject(hosts[0][:64]), issuer.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
        .sign(issuer_key, hashes.SHA384())
    )
    return certificate.public_bytes(Encoding.PEM), _private_pem(key)


def make_node_key() -> bytes:
    """A node's private key for Flower's node authentication (P-384, OpenSSH format)."""
    key = ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def node_public_key(private: bytes) -> str:
    """The public half of a node's key (PEM), which is what a coordinator registers."""
    public = load_ssh_private_key(private, None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def is_node_key(public: str) -> bool:
    """Whether a text is a public key that Flower's node authentication takes (a NIST curve)."""
    try:
        key = load_pem_public_key(public.encode("ascii"))
    except (ValueError, UnicodeError):
        return False
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name.startswith("secp")


def certificate_fingerprint(certificate: bytes) -> str:
    """8 groups of 4 digits over a PEM certificate's content, to compare by voice."""
    loaded = _load(certificate)
    return fingerprint(sha256_hex(loaded.public_bytes(Encoding.DER)))


def days_left(certificate: bytes, *, now: datetime.datetime) -> float:
    """Days until a PEM certificate expires; negative when it has."""
    return (_load(certificate).not_valid_after_utc - now).total_seconds() / 86400


def write_new(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a key or certificate into a file that is not there yet.

    Raises
    ------
    InputError
        The file exists: keys are never overwritten.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise InputError(
            f"{path}: expected no file, found one; keys are never overwritten: name another "
            "folder or move this file away"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _load(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise InputError("expected a certificate in PEM format, got something else") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
