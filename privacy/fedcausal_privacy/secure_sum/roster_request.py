"""A party's signed question for the public keys of the others."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity, verify

__all__ = ["WINDOW_SECONDS", "RosterRequest", "request_roster"]

_DOMAIN: Final = b"fedcausal/roster/v1\0"
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")
# As wide as Flower's own window for signed requests of nodes.
WINDOW_SECONDS: Final = 300
_REFUSED: Final = "the roster is told to enrolled parties only; is this one confirmed?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterRequest:
    """Who asks, when (seconds since 1970), and its signature over both."""

    name: str
    time: int
    signature: str

    def to_bytes(self) -> bytes:
        """The request's body."""
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> "RosterRequest":
        """Read a request; `ProtocolError` when it is anything else."""
        try:
            value = json.loads(content)
            request = cls(**value)
        except (ValueError, TypeError):
            raise ProtocolError(_REFUSED) from None
        is_text = isinstance(request.name, str) and isinstance(request.signature, str)
        if not is_text or type(request.time) is not int:
            raise ProtocolError(_REFUSED)
        return request

    def check(self, identities: Mapping[str, str], *, now: float) -> None:
        """Refuse a request of somebody else, or of another time.

        Raises
        ------
        ProtocolError
            The clocks differ by more than five minutes (said with the difference), or the
            request is not signed by one of `identities` (public keys by name).
        """
        known = identities.get(self.name)
        if known is None or _SIGNATURE.fullmatch(self.signature) is None:
            raise ProtocolError(_REFUSED)
        signed = _statement(self.name, self.time)
        if not verify(known, signed, bytes.fromhex(self.signature)):
            raise ProtocolError(_REFUSED)
        if abs(now - self.time) > WINDOW_SECONDS:
            raise ProtocolError(
                f"the clocks differ by {self.time - now:+.0f} s (at most {WINDOW_SECONDS}); "
                "synchronise them (NTP)"
            )


def request_roster(name: str, identity: Identity, *, now: float) -> RosterRequest:
    """Ask for the roster in the name of a party."""
    time = int(now)
    signature = identity.sign(_statement(name, time)).hex()
    return RosterRequest(name=name, time=time, signature=signature)


def _statement(name: str, time: int) -> bytes:
    return _DOMAIN + canonical_json({"name": name, "time": time})
