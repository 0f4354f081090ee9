"""A site's consent: studies that asked, and what its operator said to each."""

import getpass
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from fedcausal.errors import InputError
from fedcausal.study import Study
from fedcausal_clients.site_config import Policy
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.canonical import canonical_json, fingerprint
from fedcausal_privacy.errors import ProtocolError

__all__ = [
    "Decision",
    "StudyRequest",
    "approve_study",
    "approved_studies",
    "denied_studies",
    "deny_study",
    "find_request",
    "kept_requests",
    "note_request",
    "state_of",
]

State = Literal["waiting", "approved", "denied"]

_REQUEST, _APPROVED, _DENIED = "request-", "approved-", "denied-"
# A coordinator that sends ever new studies fills neither the disk nor the operator's screen.
MAX_WAITING = 50
MAX_STUDY_BYTES = 2**18
MAX_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """A study that asked: its text, since when, how often, and in which run the last time.

    Who asks is what the study says of itself; nothing here proves it.
    """

    study: str
    text: str
    first: str
    last: str
    times: int = 1
    run: str = ""

    def read(self) -> Study:
        """The study itself."""
        return Study.model_validate(Study.parse(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the operator said: when, who was logged in, and why."""

    when: str
    who: str
    reason: str = ""


def note_request(store: StateStore, audit: AuditLog, study: Study, text: str, run: str) -> None:
    """Keep a study that asked, for the operator to look at; the same study counts up.

    Studies that are waiting are bounded in number and size; one too many is audited, not kept.
    """
    digest, now = study.hash(), _now()
    before = _read(store, _REQUEST + digest)
    if before is not None:
        known = StudyRequest(**before)
        if known.run != run:
            _write(
                store,
                _REQUEST + digest,
                asdict(replace(known, last=now, times=known.times + 1, run=run)),
            )
        return
    waiting = [r for r in kept_requests(store) if not _decided(store, r.study)]
    if len(waiting) >= MAX_WAITING or len(text.encode()) > MAX_STUDY_BYTES:
        audit.append("request not kept", {"study": digest, "waiting": len(waiting)})
        return
    request = StudyRequest(study=digest, text=text, first=now, last=now, run=run)
    _write(store, _REQUEST + digest, asdict(request))
    audit.append("requested", {"study": digest, "run": run})


def kept_requests(store: StateStore) -> tuple[StudyRequest, ...]:
    """All studies that asked, the newest last."""
    names = [name for name in store.names() if name.startswith(_REQUEST)]
    found = [StudyRequest(**content) for n in names if (content := _read(store, n)) is not None]
    return tuple(sorted(found, key=lambda request: (request.first, request.study)))


def find_request(store: StateStore, named: str) -> StudyRequest:
    """The study that a whole hash or fingerprint names.

    Raises
    ------
    InputError
        No study of this name asked. A part of a hash names none: another study could share it.
    """
    for request in kept_requests(store):
        if named.strip().lower() in (request.study, fingerprint(request.study)):
            return request
    raise InputError(
        f"no study {named!r} asked this site; `fedcausal site requests list` shows those that "
        "did, by hash and fingerprint"
    )


def approve_study(store: StateStore, audit: AuditLog, study: str) -> Decision:
    """Approve one study by hand; an earlier denial ends with it."""
    decision = Decision(when=_now(), who=_who())
    audit.append("approved", {"study": study, "who": decision.who})
    store.delete(_DENIED + study)
    _write(store, _APPROVED + study, asdict(decision))
    return decision


def deny_study(store: StateStore, audit: AuditLog, study: str, reason: str) -> Decision:
    """Deny one study, also one that was approved before or stands in `policy.approved`.

    Raises
    ------
    InputError
        Without a reason.
    """
    words = " ".join(reason.split())
    if not words or len(words) > MAX_REASON:
        raise InputError(
            f"--reason: expected words (at most {MAX_REASON} characters), got {len(words)}; "
            'write --reason "not covered by our ethics approval"'
        )
    decision = Decision(when=_now(), who=_who(), reason=words)
    audit.append("denied", {"study": study, "who": decision.who, "reason": words})
    _write(store, _DENIED + study, asdict(decision))
    store.delete(_APPROVED + study)
    return decision


def approved_studies(store: StateStore, policy: Policy) -> frozenset[str]:
    """Hashes that the gate lets pass: by the policy's list or by hand, less the denied ones."""
    by_hand = _names(store, _APPROVED)
    listed = frozenset(policy.approved) if policy.approve == "by_hash" else by_hand
    return listed - denied_studies(store)


def denied_studies(store: StateStore) -> frozenset[str]:
    """Hashes that the operator denied."""
    return _names(store, _DENIED)


def state_of(store: StateStore, policy: Policy, study: str) -> tuple[State, Decision | None]:
    """Where a study stands, and the operator's word on it where there is one."""
    denied = _read(store, _DENIED + study)
    if denied is not None:
        return "denied", Decision(**denied)
    if study not in approved_studies(store, policy):
        return "waiting", None
    by_hand = _read(store, _APPROVED + study)
    return "approved", Decision(**by_hand) if by_hand else None


def _decided(store: StateStore, study: str) -> bool:
    return store.read(_APPROVED + study) is not None or store.read(_DENIED + study) is not None


def _names(store: StateStore, prefix: str) -> frozenset[str]:
    return frozenset(n.removeprefix(prefix) for n in store.names() if n.startswith(prefix))


def _read(store: StateStore, name: str) -> Mapping[str, Any] | None:
    content = store.read(name)
    if content is None:
        return None
    try:
        found = json.loads(content or b"{}")
        return found if isinstance(found, dict) else {}
    except ValueError:
        raise ProtocolError(f"state/{name[:20]}... cannot be read; restore it") from None


def _write(store: StateStore, name: str, content: Mapping[str, Any]) -> None:
    store.write(name, canonical_json(dict(content)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _who() -> str:
    """The account at this machine; a name for the log, not a proof."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
