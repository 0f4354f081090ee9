import datetime
import ssl
import threading
from contextlib import closing
from socket import create_connection, create_server

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys import certificates

NOW = datetime.datetime.now(datetime.UTC)
AUTHORITY, AUTHORITY_KEY = certificates.make_authority("north", now=NOW)


def connect(tmp_path, *, hosts, name, made=NOW, trusted=AUTHORITY):
    """What a client that asks for `name` meets: None, or OpenSSL's complaint."""
    certificate, key = certificates.make_server_certificate(
        AUTHORITY, AUTHORITY_KEY, hosts, now=made
    )
    for file, content in (("server.pem", certificate), ("server.key", key)):
        certificates.write_new(tmp_path / file, content)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    asking = ssl.create_default_context(cadata=trusted.decode())
    with closing(create_server(("127.0.0.1", 0))) as listener:

        def serve():
            connection, _ = listener.accept()
            with closing(connection):
                try:
                    serving.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                create_connection(listener.getsockname(), timeout=10) as plain,
                asking.wrap_socket(plain, server_hostname=name),
            ):
                return None
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        finally:
            thread.join(10)


@pytest.mark.parametrize("name", ["127.0.0.1", "link.example.org"])
def test_a_server_is_known_by_every_name_of_its_certificate(tmp_path, name):
    assert connect(tmp_path, hosts=["link.example.org", "127.0.0.1"], name=name) is None


def test_a_server_under_another_name_is_refused(tmp_path):
    assert "mismatch" in connect(tmp_path, hosts=["other.example.org"], name="link.example.org")


def test_another_authority_is_refused(tmp_path):
    other, _ = certificates.make_authority("north", now=NOW)
    assert connect(tmp_path, hosts=["127.0.0.1"], name="127.0.0.1", trusted=other) is not None


def test_an_expired_certificate_is_refused(tmp_path):
    long_ago = NOW - datetime.timedelta(days=500)
    said = connect(tmp_path, hosts=["127.0.0.1"], name="127.0.0.1", made=long_ago)
    assert "expired" in said


def test_days_left_count_down():
    assert certificates.days_left(AUTHORITY, now=NOW) == pytest.approx(3650, abs=1)
    late = NOW + datetime.timedelta(days=4000)
    assert certificates.days_left(AUTHORITY, now=late) < 0


def test_a_server_needs_a_name():
    with pytest.raises(InputError, match="--host"):
        certificates.make_server_certificate(AUTHORITY, AUTHORITY_KEY, [], now=NOW)


def test_keys_are_never_overwritten_and_closed_to_others(tmp_path):
    certificates.write_new(tmp_path / "key", b"1")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="never overwritten"):
        certificates.write_new(tmp_path / "key", b"2")


def test_node_keys_are_of_the_kind_that_flower_takes():
    public = certificates.node_public_key(certificates.make_node_key())
    assert certificates.is_node_key(public)
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert not certificates.is_node_key(pem)
    assert not certificates.is_node_key("nonsense")


def test_fingerprints_tell_certificates_apart():
    other, _ = certificates.make_authority("north", now=NOW)
    marks = [certificates.certificate_fingerprint(c) for c in (AUTHORITY, AUTHORITY, other)]
    assert marks[0] == marks[1] != marks[2]
    with pytest.raises(InputError, match="PEM"):
        certificates.certificate_fingerprint(b"no certificate")
