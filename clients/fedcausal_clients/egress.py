"""The one gate through which everything leaves a site.

Whoever wants to know what a site can reveal reads this file: `authorise` says which statistics
may be computed for release and charges for them, and `release` is the only function whose result
the Flower adapter sends.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fedcausal.errors import BudgetExceededError, DisclosureError
from fedcausal.refusals import RefusalCode, explain
from fedcausal.statistics.kind import PublicKind, Request
from fedcausal.study import Study
from fedcausal_clients.audit import AuditLog
from fedcausal_clients.site_config import Policy
from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.events import Event, NoPrivacy
from fedcausal_privacy.ledger import Budget, Ledger
from fedcausal_privacy.messages import Message

__all__ = [
    "Gate",
    "Permit",
    "RefusalError",
    "authorise",
    "check_rows",
    "check_study",
    "refusal_message",
    "refuse",
    "release",
]

UPLOADS = frozenset({"query.upload", "train.upload"})
REPLIES = UPLOADS | {
    "query.hello",
    "query.advertise",
    "query.freeze",
    "query.collect",
    "query.void",
    "query.pads",
    "query.decrypt",
    "query.close",
}


class RefusalError(DisclosureError):
    """A site's no: a code of the closed list, and the column or kind it is about.

    `reason` is for the site's own audit log and never leaves it.
    """

    def __init__(self, code: RefusalCode, where: str = "", *, reason: str = "") -> None:
        super().__init__(f"{where + ': ' if where else ''}{code}: {explain(code)}")
        self.code, self.where, self.reason = code, where, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the gate consults and where it writes.

    `approved` are the hashes of the studies that the site's operator approved.
    """

    site: str
    policy: Policy
    approved: frozenset[str]
    ledger: Ledger
    audit: AuditLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to release one statistic once; only `authorise` makes one."""

    statistic: str
    kind: str
    length: int
    run_id: str
    round_number: int
    attempt: int = 1

    def to_json(self) -> dict[str, JsonValue]:
        """The permit as JSON, so that a reply can be sent once more after a restart."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Permit":
        """The permit that `to_json` wrote."""
        return cls(**value)


def check_study(gate: Gate, study: Study) -> None:
    """Refuse a study that is not approved or asks for less caution than the site's policy."""
    if study.hash() not in gate.approved:
        raise RefusalError(RefusalCode.STUDY_NOT_APPROVED)
    if study.privacy.min_cell < gate.policy.min_cell:
        raise RefusalError(RefusalCode.MIN_CELL_TOO_LOW)


def check_rows(gate: Gate, study: Study, num_rows: int) -> None:
    """Refuse when the site has too few rows to hide one, or more than the study's public cap."""
    if num_rows < gate.policy.min_rows:
        raise RefusalError(RefusalCode.TOO_FEW_ROWS)
    if study.privacy.max_rows is not None and num_rows > study.privacy.max_rows:
        raise RefusalError(RefusalCode.TOO_MANY_ROWS)


def authorise(
    gate: Gate,
    study: Study,
    request: Request,
    kind: PublicKind,
    *,
    num_rows: int,
    length: int,
    event: Event | None,
    run_id: str,
    round_number: int,
    attempt: int = 1,
) -> Permit:
    """Check a statistic against the policy and charge the ledger, before anything is computed.

    `event` is the private mechanism that will be used (None: no noise). The charge comes before
    noise is drawn; a crash afterwards costs budget without a release, never the other way round.

    Raises
    ------
    RefusalError
        With the code that the coordinator is told; nothing was computed.
    """
    policy, epsilon = gate.policy, _epsilon_of(study, kind)
    check_study(gate, study)
    check_rows(gate, study, num_rows)
    if policy.allow is not None and request.kind not in policy.allow:
        raise RefusalError(RefusalCode.KIND_NOT_ALLOWED, request.kind)
    if epsilon is not None and event is None:
        raise RefusalError(RefusalCode.NO_PRIVATE_FORM, request.kind)
    if epsilon is not None and study.privacy.delta > policy.max_delta:
        raise RefusalError(RefusalCode.DELTA_TOO_LARGE, request.kind)
    if epsilon is None:
        if policy.max_epsilon is not None:
            raise RefusalError(RefusalCode.NO_EPSILON, request.kind)
        if kind.width(study, request) > policy.max_parameters_per_row * num_rows:
            raise RefusalError(RefusalCode.SATURATED, request.kind)
        _check_requests(gate, study, request, kind)
    permit = Permit(
        statistic=request.id(),
        kind=request.kind,
        length=length,
        run_id=run_id,
        round_number=round_number,
        attempt=attempt,
    )
    _charge(gate, study, kind, permit, epsilon, event or NoPrivacy(name=request.kind))
    return permit


def release(gate: Gate, reply: Message, *, permits: Mapping[str, Permit] | None = None) -> Message:
    """Let a reply leave the site: check it against the permits, write it down, return it.

    Every reply of a site is the result of this function, also a greeting, a signature and a
    refusal. An upload leaves only when each of its statistics has a permit.

    Raises
    ------
    RefusalError
        The reply holds what no permit covers, or is of a kind that sites do not send.
    """
    permitted = permits or {}
    names = {name.partition("/")[2] for name in reply.blobs} if reply.kind in UPLOADS else set()
    if reply.kind not in REPLIES or names - set(permitted):
        raise RefusalError(RefusalCode.SITE_ERROR, reason="a reply was about to leave unpermitted")
    gate.audit.append(
        "refused" if "refusal" in reply.header else "released",
        {
            "kind": reply.kind,
            "bytes": sum(len(blob) for blob in reply.blobs.values()),
            "digest": _digest(reply),
            "statistics": [_line(permitted[name], reply) for name in sorted(names)],
            **{key: reply.header[key] for key in ("refusal", "where") if key in reply.header},
        },
    )
    return reply


def refuse(gate: Gate, kind: str, refusal: RefusalError) -> Message:
    """The reply that carries a refusal's code, after its reason went into the audit log."""
    if refusal.reason:
        gate.audit.append("reason", {"code": str(refusal.code), "reason": refusal.reason})
    return release(gate, refusal_message(gate.site, kind, refusal.code, refusal.where))


def refusal_message(site: str, kind: str, code: RefusalCode, where: str = "") -> Message:
    """A refusal as a message: who, the code, and the column or kind it is about."""
    return Message(
        kind=kind if kind in REPLIES else "query.hello",
        header={"name": site, "refusal": str(code), "where": where},
    )


def _epsilon_of(study: Study, kind: PublicKind) -> float | None:
    part = getattr(study.privacy, kind.part)
    return None if part is None else part.epsilon


def _check_requests(gate: Gate, study: Study, request: Request, kind: PublicKind) -> None:
    """Refuse the next different request of a kind: a budget for releases that have no epsilon.

    Every request is in the ledger before its data are read, one that then fails too.
    """
    entries = gate.ledger.entries(study=study.hash(), part=kind.part)
    asked = {e.release.partition("/")[2] for e in entries if e.description == request.kind}
    in_a_run = study.model.rounds if kind.part == "model" else 1
    if len(asked | {request.id()}) > gate.policy.max_requests * in_a_run:
        raise RefusalError(RefusalCode.TOO_MANY_REQUESTS, request.kind)


def _charge(
    gate: Gate,
    study: Study,
    kind: PublicKind,
    permit: Permit,
    epsilon: float | None,
    event: Event,
) -> None:
    digest, budgets = study.hash(), []
    if epsilon is not None:
        delta = study.privacy.delta
        budgets = [Budget(epsilon=epsilon, delta=delta, study=digest, part=kind.part)]
        if gate.policy.max_epsilon is not None:
            budgets += [Budget(epsilon=gate.policy.max_epsilon, delta=delta)]
    try:
        gate.ledger.charge(
            event,
            study=digest,
            run=permit.run_id,
            release=_release(permit),
            part=kind.part,
            description=permit.kind,
            budgets=budgets,
        )
    except BudgetExceededError as error:
        raise RefusalError(RefusalCode.BUDGET_EXCEEDED, permit.kind, reason=str(error)) from None


def _release(permit: Permit) -> str:
    """What the ledger calls an upload: one of a later attempt is a release of its own."""
    attempt = "" if permit.attempt == 1 else f".{permit.attempt}"
    return f"{permit.round_number}{attempt}/{permit.statistic}"


def _line(permit: Permit, reply: Message) -> dict[str, JsonValue]:
    blob = next(b for n, b in reply.blobs.items() if n.partition("/")[2] == permit.statistic)
    return {
        "statistic": permit.statistic,
        "length": permit.length,
        "run": permit.run_id,
        "round": permit.round_number,
        "attempt": permit.attempt,
        "bytes": len(blob),
        "digest": sha256_hex(blob),
    }


def _digest(reply: Message) -> str:
    parts: dict[str, JsonValue] = {name: sha256_hex(blob) for name, blob in reply.blobs.items()}
    return sha256_hex(canonical_json({"header": dict(reply.header), "blobs": parts}))
