from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys.certificate_expiry import check_expiry, read_expiry

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 12, 31, tzinfo=UTC)


def certificate(end=END):
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "north")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, BEGIN, end)
    return builder.sign(key, None).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("before_end", "status", "threshold", "words"),
    [
        (timedelta(days=200), "ok", None, "200 days left"),
        (timedelta(days=30, hours=23), "ok", None, "30 days left"),
        (timedelta(days=30, seconds=1), "ok", None, "30 days left"),
        (timedelta(days=30), "warning", 30, "renew it"),
        (timedelta(days=7, seconds=1), "warning", 30, "7 days left"),
        (timedelta(days=7), "warning", 7, "7 days left"),
        (timedelta(days=1), "warning", 1, "24 hours left"),
        (timedelta(hours=3), "warning", 1, "renew it NOW"),
        (timedelta(0), "failed", 1, "expired on 2026-12-31"),
        (-timedelta(days=3), "failed", 1, "expired on"),
        (timedelta(days=400), "failed", None, "not valid before 2026-01-01"),
    ],
)
def test_warnings_at_30_7_and_1_days(tmp_path, before_end, status, threshold, words):
    path = tmp_path / "north.pem"
    path.write_bytes(certificate())
    (found,) = read_expiry(path, now=END - before_end)
    assert (found.status, found.threshold) == (status, threshold)
    assert words in found.detail
    assert found.detail.startswith("north.pem: ")


def test_the_first_to_end_comes_first(tmp_path):
    (tmp_path / "a.pem").write_bytes(certificate() + certificate(END - timedelta(days=90)))
    (tmp_path / "b.pem").write_bytes(certificate(END - timedelta(days=120)))
    found = check_expiry([tmp_path / "a.pem", tmp_path / "b.pem"], now=BEGIN)
    assert [expiry.name for expiry in found] == ["b.pem", "a.pem[1]", "a.pem[0]"]
    assert read_expiry(tmp_path / "b.pem")[0].now.tzinfo is not None


def test_what_is_no_certificate(tmp_path):
    with pytest.raises(InputError, match="expected certificates"):
        read_expiry(tmp_path / "no.pem")
    (tmp_path / "x.pem").write_text("hello")
    with pytest.raises(InputError, match="expected certificates"):
        read_expiry(tmp_path / "x.pem")
