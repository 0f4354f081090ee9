"""Message kinds, blob names and the exact headers that are signed at each step."""

from dataclasses import replace
from typing import Final, Literal

from fedcausal_privacy.envelopes import Header
from fedcausal_privacy.secure_sum.manifest import Manifest

__all__ = [
    "ADVERTISE",
    "COLLECT",
    "DECRYPT",
    "FIRST_ATTEMPT",
    "FREEZE",
    "HELLO",
    "MAX_ATTEMPTS",
    "OWN_UPLOAD",
    "PADS",
    "SUM_KINDS",
    "TRAIN_UPLOAD",
    "UNRELEASED",
    "UPLOAD",
    "UPLOAD_KINDS",
    "VOID",
    "UploadKind",
    "advertise_header",
    "ciphertext_blob",
    "forwarded_blob",
    "forwarded_seed_blob",
    "freeze_header",
    "hello_header",
    "own_blob",
    "pads_blob",
    "pads_header",
    "release_blob",
    "release_header",
    "seed_blob",
    "seed_header",
    "upload_header",
    "void_header",
]

HELLO: Final = "query.hello"
ADVERTISE: Final = "query.advertise"
FREEZE: Final = "query.freeze"
UPLOAD: Final = "query.upload"
TRAIN_UPLOAD: Final = "train.upload"
OWN_UPLOAD: Final = "query.own_upload"
COLLECT: Final = "query.collect"
PADS: Final = "query.pads"
DECRYPT: Final = "query.decrypt"
VOID: Final = "query.void"
UploadKind = Literal["query.upload", "train.upload", "query.own_upload"]
SUM_KINDS: Final[tuple[UploadKind, ...]] = (UPLOAD, TRAIN_UPLOAD)
"""Uploads that are hidden and added; of any other kind no steward acts for."""
UPLOAD_KINDS: Final[tuple[UploadKind, ...]] = (*SUM_KINDS, OWN_UPLOAD)

FIRST_ATTEMPT: Final = 1
# A run that loses sites three times has a cause that a fourth attempt does not cure.
MAX_ATTEMPTS: Final = 3

UNRELEASED: Final = "unreleased"
"""What a void token says of a roster over which nothing was released; without it, it stays."""

# The kind that a sealed seed is signed under; seeds travel inside uploads.
_SEED: Final = "seed/"


def hello_header(*, run_id: str, sender: str, identity: str, he_sha256: str = "") -> Header:
    """A party proves its identity for a run; a steward also announces its key's hash."""
    return Header(kind=HELLO, run_id=run_id, sender=sender, key=identity, he_sha256=he_sha256)


def advertise_header(manifest: Manifest, *, attempt: int, site: str, key: str = "") -> Header:
    """A site accepts the manifest and announces its ephemeral X25519 key (masked mode)."""
    return replace(_of_run(manifest, ADVERTISE, site), attempt=attempt, key=key)


def freeze_header(manifest: Manifest, *, attempt: int, site: str, roster_hash: str) -> Header:
    """A site agrees to the roster of ephemeral keys that it was shown."""
    return replace(_of_run(manifest, FREEZE, site), attempt=attempt, roster_hash=roster_hash)


def upload_header(
    manifest: Manifest,
    *,
    kind: str,
    round: int,
    attempt: int,
    statistic: str,
    site: str,
    roster_hash: str,
    seed_sha256: str = "",
) -> Header:
    """A site's one contribution to one statistic of one round.

    In two-steward mode there is no roster yet; the header names the sealed seed instead.
    """
    return replace(
        _of_run(manifest, kind, site),
        round=round,
        attempt=attempt,
        statistic=statistic,
        roster_hash=roster_hash,
        key=seed_sha256,
    )


def seed_header(
    manifest: Manifest,
    *,
    kind: str,
    round: int,
    statistic: str,
    site: str,
    ciphertext_sha256: str = "",
) -> Header:
    """A site's sealed pad seed of one statistic, bound to the one ciphertext that it pads."""
    return replace(
        _of_run(manifest, _SEED + kind, site),
        round=round,
        attempt=FIRST_ATTEMPT,
        statistic=statistic,
        key=ciphertext_sha256,
    )


def pads_header(manifest: Manifest, *, round: int, statistic: str, roster_hash: str) -> Header:
    """The second steward's one sum of pads of one statistic, for one roster."""
    second = "" if manifest.second_steward is None else manifest.second_steward.name
    return replace(
        _of_run(manifest, PADS, second),
        round=round,
        attempt=FIRST_ATTEMPT,
        statistic=statistic,
        roster_hash=roster_hash,
    )


def release_header(
    manifest: Manifest, *, round: int, attempt: int, statistic: str, roster_hash: str
) -> Header:
    """The steward's one release of one statistic of one round."""
    return replace(
        _of_run(manifest, DECRYPT, manifest.steward.name),
        round=round,
        attempt=attempt,
        statistic=statistic,
        roster_hash=roster_hash,
    )


def void_header(
    manifest: Manifest,
    *,
    attempt: int,
    roster_hash: str,
    last_released: int,
    is_released: bool,
) -> Header:
    """The steward's promise that no further sum of an attempt will ever be decrypted.

    `last_released` (the header's round) is the last round of the run that was released, in this
    attempt or before; only later rounds may be uploaded again. `is_released` says whether any
    was over this attempt's roster; when none was, the roster need not be remembered.
    """
    return replace(
        _of_run(manifest, VOID, manifest.steward.name),
        round=last_released,
        attempt=attempt,
        statistic="" if is_released else UNRELEASED,
        roster_hash=roster_hash,
    )


def ciphertext_blob(statistic: str) -> str:
    """Name of the blob with a site's ciphertext, in a site's reply."""
    return f"ciphertext/{statistic}"


def own_blob(statistic: str) -> str:
    """Name of the blob with a site's own vector (int64, little endian), open and signed."""
    return f"own/{statistic}"


def seed_blob(statistic: str) -> str:
    """Name of the blob with a site's sealed pad seed, in a site's reply."""
    return f"seed/{statistic}"


def forwarded_blob(statistic: str, site: str) -> str:
    """Name of the blob with a site's ciphertext, to the steward."""
    return f"ciphertext/{statistic}/{site}"


def forwarded_seed_blob(statistic: str, site: str) -> str:
    """Name of the blob with a site's sealed seed, to the second steward."""
    return f"seed/{statistic}/{site}"


def pads_blob(statistic: str) -> str:
    """Name of the blob with the encrypted negative sum of pads."""
    return f"pads/{statistic}"


def release_blob(statistic: str) -> str:
    """Name of the blob with the totals (int64, little endian) and then the withheld marks."""
    return f"release/{statistic}"


def _of_run(manifest: Manifest, kind: str, sender: str) -> Header:
    """What every signature after the greeting is bound to: the run, its contract and its key."""
    return Header(
        kind=kind,
        run_id=manifest.run_id,
        sender=sender,
        manifest=manifest.digest(),
        he_sha256=manifest.he_sha256,
    )
