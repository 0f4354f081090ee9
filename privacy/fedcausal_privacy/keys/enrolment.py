"""Enrolment: an invitation with a one-time token, the answer to it, and who has been accepted."""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, get_args

from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.errors import InputError, ProtocolError
from fedcausal_privacy.keys.certificates import is_node_key
from fedcausal_privacy.keys.identity import Identity, verify
from fedcausal_privacy.keys.known_keys import Rotation, fingerprint_of

__all__ = ["Enrolment", "EnrolmentBook", "Invitation", "JoinRequest", "Role", "request_to_join"]

Role = Literal["site", "steward", "second-steward"]
_JOIN: Final = b"fedcausal/join/v1\0"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HEX_64: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")
# One sentence for every refusal: whoever guesses learns nothing of what was wrong.
_REFUSED: Final = "the invitation is unknown, used or expired; ask the coordinator for a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a coordinator's operator hands to a party, over a channel that both trust.

    It holds the authority's certificate, so that the first connection is authenticated already,
    and a token that enrols one party under one name, once, until `expires` (seconds since 1970).
    """

    address: str
    authority: str
    name: str
    role: Role
    token: str
    expires: float

    def to_bytes(self) -> bytes:
        """The file's content."""
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> "Invitation":
        """Read an invitation; `InputError` when it is anything else."""
        try:
            value = json.loads(content)
            invitation = cls(**{**value, "expires": float(value["expires"])})
        except (ValueError, TypeError, KeyError):
            raise InputError("expected an invitation as the coordinator wrote it") from None
        texts = (invitation.address, invitation.authority, invitation.name, invitation.token)
        if not all(isinstance(text, str) for text in texts) or ":" not in invitation.address:
            raise InputError("expected an invitation with address, authority, name and token")
        _check_party(invitation.name, invitation.role)
        return invitation


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A party's answer: its public keys, signed with its identity.

    Privacy: two public keys leave the party; both private halves stay where they were made.
    """

    name: str
    token: str
    identity: str
    node_key: str
    signature: str

    def to_bytes(self) -> bytes:
        """The request's body."""
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> "JoinRequest":
        """Read and check a request; `ProtocolError` when anything about it is wrong."""
        try:
            value = json.loads(content)
            request = cls(**value)
        except (ValueError, TypeError):
            raise ProtocolError(_REFUSED) from None
        if not all(isinstance(text, str) for text in asdict(request).values()):
            raise ProtocolError(_REFUSED)
        forms = ((_HEX_64, request.identity), (_SIGNATURE, request.signature))
        if any(form.fullmatch(text) is None for form, text in forms):
            raise ProtocolError(_REFUSED)
        signed = _statement(request.name, request.token, request.identity, request.node_key)
        if not verify(request.identity, signed, bytes.fromhex(request.signature)):
            raise ProtocolError(_REFUSED)
        if not is_node_key(request.node_key):
            raise ProtocolError(_REFUSED)
        return request


def request_to_join(invitation: Invitation, identity: Identity, node_key: str) -> JoinRequest:
    """The answer to an invitation; `node_key` is the public key of the party's node (PEM)."""
    signed = _statement(invitation.name, invitation.token, identity.public, node_key)
    return JoinRequest(
        name=invitation.name,
        token=invitation.token,
        identity=identity.public,
        node_key=node_key,
        signature=identity.sign(signed).hex(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """One party in the coordinator's book.

    `invited`: a token is out (only its hash is kept). `joined`: its keys came with the token, and
    nothing is open to it yet. `enrolled`: an operator compared the fingerprint. `revoked`: its
    keys open nothing any more, nor will they under another name.
    """

    name: str
    role: Role
    state: Literal["invited", "joined", "enrolled", "revoked"] = "invited"
    token_hash: str = ""
    expires: float = 0.0
    identity: str = ""
    node_key: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the party's identity, which signed its node key; "" before it joined."""
        return fingerprint_of(self.identity) if self.identity else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentBook:
    """Everybody whom a coordinator invited, by name; every change gives a new book."""

    enrolments: Mapping[str, Enrolment]

    @classmethod
    def empty(cls) -> "EnrolmentBook":
        """A book without a party."""
        return cls(enrolments={})

    def enrolled(self) -> tuple[Enrolment, ...]:
        """The accepted parties, by name."""
        found = sorted(self.enrolments.values(), key=lambda party: party.name)
        return tuple(party for party in found if party.state == "enrolled")

    def invite(self, name: str, role: str, *, token: str, expires: float) -> "EnrolmentBook":
        """Note an invitation; a second one replaces one that was not answered.

        Raises
        ------
        InputError
            The name is not plain, the role unknown, or the party has answered already.
        """
        checked = _check_party(name, role)
        known = self.enrolments.get(name)
        if known is not None and known.state != "invited":
            raise InputError(
                f"{name!r} has {known.state} already; remove it first, or choose another name"
            )
        invited = Enrolment(
            name=name, role=checked, token_hash=sha256_hex(token.encode()), expires=expires
        )
        return self._with(invited)

    def join(self, request: JoinRequest, *, now: float) -> "EnrolmentBook":
        """Take a party's keys for its token, which is spent by this.

        Raises
        ------
        ProtocolError
            The name has no open invitation, the token is another one, or too late.
        """
        known = self.enrolments.get(request.name)
        given = sha256_hex(request.token.encode())
        if known is None or known.state != "invited" or now >= known.expires:
            raise ProtocolError(_REFUSED)
        if not hmac.compare_digest(known.token_hash, given):
            raise ProtocolError(_REFUSED)
        keys = {(party.identity, party.node_key) for party in self.enrolments.values()}
        if any(request.identity == i or request.node_key == n for i, n in keys):
            raise ProtocolError(_REFUSED)
        joined = replace(
            known,
            state="joined",
            token_hash="",
            identity=request.identity,
            node_key=request.node_key,
        )
        return self._with(joined)

    def confirm(self, name: str, fingerprint: str) -> "EnrolmentBook":
        """Accept a party whose fingerprint an operator compared.

        Raises
        ------
        InputError
            The party has not joined, or its fingerprint is another one.
        """
        known = self.enrolments.get(name)
        if known is not None and known.state == "revoked":
            raise InputError(
                f"{name!r} was revoked; remove it, and invite it again with other keys"
            )
        if known is None or known.state == "invited":
            raise InputError(f"{name!r} has not joined yet; wait for `fedcausal site join` there")
        if known.fingerprint != fingerprint.strip().lower():
            raise InputError(
                f"{name!r} joined with another fingerprint than {fingerprint}; do not accept it, "
                "ask the party to read its own aloud (`fedcausal key show`)"
            )
        return self._with(replace(known, state="enrolled"))

    def rotate(self, rotation: Rotation) -> "EnrolmentBook":
        """Follow a party's statement, signed by both keys, that a fresh identity replaces its own.

        Its node key stays: the connection is not signed for anew.

        Raises
        ------
        InputError
            The statement is about another key than the party's of today, or its new key is known.
        """
        known = self.enrolments.get(rotation.name)
        if known is None or known.state not in ("joined", "enrolled"):
            raise InputError(f"{rotation.name!r} is nobody here whose key could be replaced")
        if known.identity != rotation.old:
            raise InputError(
                f"{rotation.name!r} is {known.fingerprint} here, the file replaces "
                f"{fingerprint_of(rotation.old)}; ask the party for all its rotations, in order"
            )
        if any(rotation.new == party.identity for party in self.enrolments.values()):
            raise InputError(f"{rotation.name!r} names a key that another party has; ask it")
        return self._with(replace(known, identity=rotation.new))

    def revoke(self, name: str) -> "EnrolmentBook":
        """Refuse a party's keys from now on; the entry stays, so that they do not come back.

        Raises
        ------
        InputError
            Nobody of this name has handed in keys.
        """
        known = self.enrolments.get(name)
        if known is None or not known.identity:
            raise InputError(
                f"{name!r} has handed in no keys that could be revoked; "
                "an invitation is withdrawn with --remove"
            )
        return self._with(replace(known, state="revoked"))

    def remove(self, name: str) -> "EnrolmentBook":
        """Forget a party, whatever its state."""
        if name not in self.enrolments:
            raise InputError(f"{name!r} is nobody whom this coordinator invited")
        left = {known: party for known, party in self.enrolments.items() if known != name}
        return EnrolmentBook(enrolments=left)

    def to_bytes(self) -> bytes:
        """Canonical bytes; no token is among them."""
        parties: list[JsonValue] = [asdict(party) for _, party in sorted(self.enrolments.items())]
        return canonical_json(parties)

    @classmethod
    def from_bytes(cls, content: bytes) -> "EnrolmentBook":
        """Read what `to_bytes` wrote."""
        try:
            listed = json.loads(content)
            parties = [Enrolment(**value) for value in listed]
        except (ValueError, TypeError):
            raise InputError("expected a coordinator's book of enrolments") from None
        if not isinstance(listed, list):
            raise InputError("expected a coordinator's book of enrolments")
        return cls(enrolments={party.name: party for party in parties})

    def _with(self, party: Enrolment) -> "EnrolmentBook":
        return EnrolmentBook(enrolments={**self.enrolments, party.name: party})


def _check_party(name: str, role: str) -> Role:
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f'expected letters, digits, "_", "." or "-" (at most 64), got {name!r}; '
            "write hospital_a"
        )
    for known in get_args(Role):
        if role == known:
            found: Role = known
            return found
    raise InputError(f"role: expected one of {', '.join(get_args(Role))}, got {role!r}")


def _statement(name: str, token: str, identity: str, node_key: str) -> bytes:
    return _JOIN + canonical_json(
        {"identity": identity, "name": name, "node_key": node_key, "token": token}
    )
