"""Which identity keys count today: pinned ones, followed through rotations, less revoked ones."""

import json
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedcausal_privacy.canonical import JsonValue, canonical_json, fingerprint, sha256_hex
from fedcausal_privacy.errors import InputError, ProtocolError
from fedcausal_privacy.keys.identity import Identity, verify
from fedcausal_privacy.secure_sum.manifest import Party

__all__ = [
    "REVOKED_FILE",
    "ROTATIONS_FOLDER",
    "Rotation",
    "check_not_revoked",
    "current_keys",
    "fingerprint_of",
    "read_revoked",
    "read_rotations",
    "rotate",
]

REVOKED_FILE: Final = "revoked.txt"
ROTATIONS_FOLDER: Final = "rotations"
_DOMAIN: Final = b"fedcausal/rotation/v1\0"
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{4}(-[0-9a-f]{4}){7}")
_HEX_64: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A party's statement that its key `old` is replaced by `new`, signed with both keys.

    The old key's signature shows that the party says so, the new key's that it holds the new key.
    """

    name: str
    old: str
    new: str
    signature_old: str
    signature_new: str

    def __post_init__(self) -> None:
        entries = [(self.old, _HEX_64), (self.new, _HEX_64)]
        entries += [(self.signature_old, _SIGNATURE), (self.signature_new, _SIGNATURE)]
        if not self.name or any(form.fullmatch(text) is None for text, form in entries):
            raise InputError("expected a rotation with a name, two keys and two signatures")
        signed = _statement(self.name, self.old, self.new)
        for key, signature in ((self.old, self.signature_old), (self.new, self.signature_new)):
            if self.old == self.new or not verify(key, signed, bytes.fromhex(signature)):
                raise InputError(
                    f"the rotation of {self.name!r} is not signed by its old and its new key; "
                    "ask the party for the file again"
                )

    def to_json(self) -> dict[str, JsonValue]:
        """The statement as a JSON value."""
        return {name: getattr(self, name) for name in Rotation.__dataclass_fields__}

    @classmethod
    def from_bytes(cls, content: bytes) -> "Rotation":
        """Read a rotation's file; `InputError` when it is anything else."""
        try:
            value = json.loads(content)
            texts = {name: value[name] for name in cls.__dataclass_fields__}
        except (ValueError, KeyError, TypeError):
            raise InputError("expected the JSON of a key rotation") from None
        if set(value) != set(texts) or not all(isinstance(t, str) for t in texts.values()):
            raise InputError("expected the JSON of a key rotation")
        return cls(**texts)


def rotate(name: str, old: Identity, new: Identity) -> Rotation:
    """State that the party `name` uses `new` from now on."""
    signed = _statement(name, old.public, new.public)
    return Rotation(
        name=name,
        old=old.public,
        new=new.public,
        signature_old=old.sign(signed).hex(),
        signature_new=new.sign(signed).hex(),
    )


def current_keys(
    pinned: Mapping[str, str], rotations: Iterable[Rotation], revoked: AbstractSet[str]
) -> dict[str, str]:
    """The keys to accept, by name.

    A pinned key is followed through the rotations that it and its successors signed; the keys
    before the last one count no longer. A party with a revoked key anywhere on the way has none:
    what a stolen key signed is worth nothing, so that its party must be pinned anew.

    Raises
    ------
    InputError
        One key was replaced by two different ones.
    """
    successors: dict[tuple[str, str], str] = {}
    for rotation in rotations:
        known = successors.setdefault((rotation.name, rotation.old), rotation.new)
        if known != rotation.new:
            raise InputError(
                f"two rotations replace the same key of {rotation.name!r} by different ones; "
                f"revoke {fingerprint_of(rotation.old)} and pin a key that you compared by voice"
            )
    current = {}
    for name, key in pinned.items():
        way = [key]
        while (name, way[-1]) in successors and successors[name, way[-1]] not in way:
            way.append(successors[name, way[-1]])
        if not any(fingerprint_of(step) in revoked for step in way):
            current[name] = way[-1]
    return current


def check_not_revoked(parties: Iterable[Party], revoked: AbstractSet[str]) -> None:
    """Refuse a roster with a revoked key (what a coordinator checks before it asks for values)."""
    for party in parties:
        if fingerprint_of(party.identity) in revoked:
            raise ProtocolError(
                f"{party.name!r} came with a key that {REVOKED_FILE} lists; nothing was revealed"
            )


def fingerprint_of(public: str) -> str:
    """The fingerprint of a public key (64 hex digits): 8 groups of 4 digits."""
    return fingerprint(sha256_hex(bytes.fromhex(public)))


def read_rotations(folder: Path) -> tuple[Rotation, ...]:
    """The rotations that a role accepted: the `*.json` files of `rotations/` in its home."""
    found = []
    for path in sorted((folder / ROTATIONS_FOLDER).glob("*.json")):
        try:
            found.append(Rotation.from_bytes(path.read_bytes()))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return tuple(found)


def read_revoked(folder: Path) -> frozenset[str]:
    """The fingerprints of `revoked.txt`, one a line; `#` starts a comment."""
    path = folder / REVOKED_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text; make it a text file") from None
    listed = [line.partition("#")[0].strip() for line in lines]
    for number, text in enumerate(listed, start=1):
        if text and _FINGERPRINT.fullmatch(text) is None:
            raise InputError(
                f"{path}:{number}: expected a fingerprint of 8 groups of 4 hexadecimal digits; "
                "write 0123-4567-89ab-cdef-0123-4567-89ab-cdef"
            )
    return frozenset(filter(None, listed))


def _statement(name: str, old: str, new: str) -> bytes:
    return _DOMAIN + canonical_json({"name": name, "new": new, "old": old})
