"""Identities: signatures verify, keys rest safely."""

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys.identity import Identity, verify


def test_only_the_holder_signs_and_only_the_signed_message_verifies():
    alice, bob = Identity.generate(), Identity.generate()
    signature = alice.sign(b"message")
    assert verify(alice.public, b"message", signature)
    assert not verify(bob.public, b"message", signature)
    assert not verify(alice.public, b"massage", signature)
    assert not verify(alice.public, b"message", signature[:-1])


@pytest.mark.parametrize("public", ["", "zz", "00" * 31, "ff" * 33])
def test_a_malformed_key_never_verifies(public):
    assert not verify(public, b"message", bytes(64))


@pytest.mark.parametrize("passphrase", [None, "a long passphrase"])
def test_a_stored_key_loads_as_the_same_identity(tmp_path, passphrase):
    identity, path = Identity.generate(), tmp_path / "identity.pem"
    identity.store(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Identity.load(path, passphrase).public == identity.public
    assert (b"ENCRYPTED" in path.read_bytes()) == (passphrase is not None)


@pytest.mark.parametrize(("stored", "given"), [("right", "wrong"), ("right", None), (None, "any")])
def test_a_wrong_passphrase_is_an_input_error(tmp_path, stored, given):
    path = tmp_path / "identity.pem"
    Identity.generate().store(path, stored)
    with pytest.raises(InputError, match="passphrase"):
        Identity.load(path, given)


def test_an_identity_is_never_overwritten_absent_or_of_another_kind(tmp_path):
    path = tmp_path / "identity.pem"
    with pytest.raises(InputError, match="no file"):
        Identity.load(path, None)
    with pytest.raises(InputError, match="empty"):
        Identity.generate().store(path, "")
    Identity.generate().store(path, None)
    with pytest.raises(InputError, match="never overwritten"):
        Identity.generate().store(path, None)
    other = X25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(InputError, match="Ed25519"):
        Identity.load(path, None)


def test_the_fingerprint_is_short_and_the_private_key_is_not_printed():
    identity = Identity.generate()
    assert len(identity.fingerprint().split("-")) == 8
    assert "private" not in repr(identity)
