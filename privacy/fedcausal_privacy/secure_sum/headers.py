"""Message kinds, blob names and the exact headers that are signed at each step."""

from typing import Final, Literal

from fedcausal_privacy.envelopes import Header
from fedcausal_privacy.manifest import Manifest

__all__ = [
    "ADVERTISE",
    "DECRYPT",
    "FIRST_ATTEMPT",
    "FREEZE",
    "HELLO",
    "TRAIN_UPLOAD",
    "UPLOAD",
    "UPLOAD_KINDS",
    "UploadKind",
    "advertise_header",
    "ciphertext_blob",
    "forwarded_blob",
    "freeze_header",
    "hello_header",
    "release_blob",
    "release_header",
    "upload_header",
]

HELLO: Final = "query.hello"
ADVERTISE: Final = "query.advertise"
FREEZE: Final = "query.freeze"
UPLOAD: Final = "query.upload"
TRAIN_UPLOAD: Final = "train.upload"
DECRYPT: Final = "query.decrypt"
UploadKind = Literal["query.upload", "train.upload"]
UPLOAD_KINDS: Final[tuple[UploadKind, ...]] = (UPLOAD, TRAIN_UPLOAD)

# A site that drops out ends the run; every hash and header already names its attempt.
FIRST_ATTEMPT: Final = 1


def hello_header(*, run_id: str, sender: str, identity: str, he_sha256: str = "") -> Header:
    """A party proves its identity for a run; the steward also announces its context's hash."""
    return Header(kind=HELLO, run_id=run_id, sender=sender, key=identity, he_sha256=he_sha256)


def advertise_header(manifest: Manifest, *, attempt: int, site: str, key: str = "") -> Header:
    """A site announces its ephemeral X25519 key for the manifest."""
    return Header(
        kind=ADVERTISE,
        run_id=manifest.run_id,
        sender=site,
        attempt=attempt,
        manifest=manifest.digest(),
        he_sha256=manifest.he_sha256,
        key=key,
    )


def freeze_header(manifest: Manifest, *, attempt: int, site: str, roster_hash: str) -> Header:
    """A site agrees to the roster of ephemeral keys that it was shown."""
    return Header(
        kind=FREEZE,
        run_id=manifest.run_id,
        sender=site,
        attempt=attempt,
        manifest=manifest.digest(),
        roster_hash=roster_hash,
        he_sha256=manifest.he_sha256,
    )


def upload_header(
    manifest: Manifest,
    *,
    kind: str,
    round: int,
    attempt: int,
    statistic: str,
    site: str,
    roster_hash: str,
) -> Header:
    """A site's one contribution to one statistic of one round."""
    return Header(
        kind=kind,
        run_id=manifest.run_id,
        sender=site,
        round=round,
        attempt=attempt,
        statistic=statistic,
        manifest=manifest.digest(),
        roster_hash=roster_hash,
        he_sha256=manifest.he_sha256,
    )


def release_header(
    manifest: Manifest, *, round: int, attempt: int, statistic: str, roster_hash: str
) -> Header:
    """The steward's one release of one statistic of one round."""
    return Header(
        kind=DECRYPT,
        run_id=manifest.run_id,
        sender=manifest.steward.name,
        round=round,
        attempt=attempt,
        statistic=statistic,
        manifest=manifest.digest(),
        roster_hash=roster_hash,
        he_sha256=manifest.he_sha256,
    )


def ciphertext_blob(statistic: str) -> str:
    """Name of the blob with a site's ciphertext, in a site's reply."""
    return f"ciphertext/{statistic}"


def forwarded_blob(statistic: str, position: int) -> str:
    """Name of the blob with the ciphertext of the site at a roster position, to the steward."""
    return f"ciphertext/{statistic}/{position}"


def release_blob(statistic: str) -> str:
    """Name of the blob with the totals (int64, little endian) and then the withheld marks."""
    return f"release/{statistic}"
