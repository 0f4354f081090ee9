"""Everything that can leave a site or a steward: one table, and the check that nothing else does.

Whoever reviews what a site gives away reads this file: the forms of its replies. What the numbers
inside the ciphertexts are is listed in `fedcausal.statistics.registry`, and which of them a site
lets go is decided in `fedcausal_clients.egress`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fedcausal.refusals import RefusalCode, said_where
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.envelopes import Envelope
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import headers

__all__ = ["CLOSE", "SITE", "STEWARD", "UPLOADS", "Form", "check_form"]

CLOSE = "query.close"
UPLOADS = frozenset(headers.UPLOAD_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What one kind of reply may hold.

    Attributes
    ----------
    texts
        Header entries that are words, numbers or lists of names.
    signed
        Header entries that hold signed envelopes: hashes, names and numbers, no content.
    blobs
        Names of byte strings, or what their names begin with when they end in "/": one for each
        statistic.
    """

    texts: frozenset[str] = frozenset()
    signed: frozenset[str] = frozenset()
    blobs: tuple[str, ...] = ()


def _form(texts: str = "", *, signed: str = "", blobs: tuple[str, ...] = ()) -> Form:
    return Form(texts=frozenset(texts.split()), signed=frozenset(signed.split()), blobs=blobs)


_REFUSAL = _form("name refusal where")

_UPLOAD = _form(
    signed="envelopes seeds", blobs=(headers.ciphertext_blob(""), headers.seed_blob(""))
)

SITE: Mapping[str, Form] = MappingProxyType(
    {
        # Who it is, its public key, and the operator's label of its rows.
        headers.HELLO: _form("name role identity data_version", signed="envelope"),
        # A one-time public key (masked), or only that it accepts the manifest (two-steward).
        headers.ADVERTISE: _form(signed="envelope"),
        # Its signature of the roster.
        headers.FREEZE: _form(signed="envelope"),
        # One masked or padded and encrypted vector for each statistic that has a permit, and in
        # two-steward mode the pad's seed, sealed to the second steward.
        headers.UPLOAD: _UPLOAD,
        headers.TRAIN_UPLOAD: _UPLOAD,
        # In a robust study, which the site's policy must allow: its own vectors, open.
        headers.OWN_UPLOAD: _form(signed="envelopes", blobs=(headers.own_blob(""),)),
        CLOSE: _form("name"),
    }
)
"""By kind, what a site sends. Instead of each it may send a refusal: a code and a name."""

STEWARD: Mapping[str, Form] = MappingProxyType(
    {
        # Who it is, and the run's public key: BFV at the steward, X25519 at the second one.
        headers.HELLO: _form(
            "name role identity", signed="envelope", blobs=("context", "pad_key")
        ),
        headers.COLLECT: _form("name batch attempt"),
        # Its word that an attempt will never be decrypted.
        headers.VOID: _form("name", signed="envelope"),
        # Second steward: the sum of one roster's pads, encrypted to the steward.
        headers.PADS: _form("name", signed="pads", blobs=(headers.pads_blob(""),)),
        # The totals over one roster after the cell rule.
        headers.DECRYPT: _form(
            "name sites", signed="envelopes roster", blobs=(headers.release_blob(""),)
        ),
        CLOSE: _form("name"),
    }
)
"""By kind, what a steward sends, or a refusal."""


def check_form(reply: Message, forms: Mapping[str, Form]) -> None:
    """Refuse a reply with anything that the table does not list.

    Raises
    ------
    ProtocolError
        The reply is of another kind, or holds another entry or byte string; or a refusal is no
        code of the closed list, or names more than one variable or kind.
    """
    is_refusal = "refusal" in reply.header
    form = _REFUSAL if is_refusal else forms.get(reply.kind)
    if form is None or reply.header.keys() - form.texts - form.signed:
        raise ProtocolError("a reply was about to leave that no form allows")
    if any(not _is_listed(name, form.blobs) for name in reply.blobs):
        raise ProtocolError("bytes were about to leave that no form allows")
    if is_refusal:
        _check_refusal(reply)
    for name in form.signed & reply.header.keys():
        _check_envelopes(reply.header[name])


def _is_listed(name: str, listed: tuple[str, ...]) -> bool:
    return any(name.startswith(n) if n.endswith("/") else name == n for n in listed)


def _check_refusal(reply: Message) -> None:
    code, where = reply.header["refusal"], reply.header.get("where", "")
    if code not in set(RefusalCode) or not isinstance(where, str):
        raise ProtocolError("a refusal was about to leave that is no code of the closed list")
    if where != said_where(where):
        raise ProtocolError("a refusal was about to leave that names more than one variable")


def _check_envelopes(value: JsonValue) -> None:
    """One envelope, or one for each statistic: an envelope has no room for anything else."""
    if isinstance(value, Mapping) and "signature" not in value:
        for envelope in value.values():
            Envelope.from_json(envelope)
        return
    Envelope.from_json(value)
