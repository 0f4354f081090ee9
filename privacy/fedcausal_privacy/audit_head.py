"""The signed head of an audit log: how many lines it has, and the hash of the last one."""

import json
from dataclasses import dataclass
from pathlib import Path

from fedcausal_privacy.canonical import JsonValue, canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity, verify

__all__ = ["AuditHead", "head_path", "read_head", "write_head"]

# Signatures under this label are of heads and of nothing else that an identity signs.
_LABEL = "fedcausal audit head 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """The end of a log, signed (Ed25519) by the party that writes it; `public` is its key."""

    lines: int
    digest: str
    public: str
    signature: str

    @classmethod
    def sign(cls, signer: Identity, *, lines: int, digest: str) -> "AuditHead":
        """Sign that a log has so many lines, the last one with this hash."""
        signature = signer.sign(_statement(lines, digest)).hex()
        return cls(lines=lines, digest=digest, public=signer.public, signature=signature)

    def is_genuine(self) -> bool:
        """Whether the holder of `public` signed just this."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            return False
        return verify(self.public, _statement(self.lines, self.digest), signature)

    def to_json(self) -> dict[str, JsonValue]:
        """The head as a JSON object."""
        return {
            "lines": self.lines,
            "digest": self.digest,
            "public": self.public,
            "signature": self.signature,
        }

    @classmethod
    def from_json(cls, value: object) -> "AuditHead":
        """The head that `to_json` wrote; anything else is a `ProtocolError`."""
        names = ("digest", "public", "signature")
        if not isinstance(value, dict) or set(value) != {"lines", *names}:
            raise ProtocolError("the head of the audit log cannot be read; it was changed")
        lines, texts = value["lines"], [value[name] for name in names]
        if type(lines) is not int or lines < 0 or not all(isinstance(t, str) for t in texts):
            raise ProtocolError("the head of the audit log cannot be read; it was changed")
        digest, public, signature = texts
        return cls(lines=lines, digest=digest, public=public, signature=signature)


def head_path(log: Path) -> Path:
    """Where the head of a log is: `audit.head` beside `audit.jsonl`."""
    return log.with_suffix(".head")


def read_head(log: Path) -> AuditHead | None:
    """The head of a log; None when there is none."""
    try:
        content = head_path(log).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return AuditHead.from_json(json.loads(content))
    except (ValueError, RecursionError):
        raise ProtocolError("the head of the audit log cannot be read; it was changed") from None


def write_head(log: Path, head: AuditHead) -> None:
    """Replace the head whole.

    It is not synced: the line is, and after a power loss the head is at most older than the log,
    which `check` says, until the next line.
    """
    path = head_path(log)
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_bytes(canonical_json(head.to_json()))
    temporary.chmod(0o600)
    temporary.replace(path)


def _statement(lines: int, digest: str) -> bytes:
    return canonical_json({"digest": digest, "label": _LABEL, "lines": lines})
