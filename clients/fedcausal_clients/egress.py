"""The one gate through which everything leaves a site.

`authorise` says which statistics may be computed for release and charges for them, and `release`
is the only function whose result the Flower adapter sends. The forms of all replies are the
tables of `fedcausal_clients.replies`; nothing else passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from fedcausal.errors import BudgetExceededError
from fedcausal.refusals import RefusalCode, said_where
from fedcausal.study import Study
from fedcausal_clients.data.survey import Survey
from fedcausal_clients.policy import rules
from fedcausal_clients.policy.planned_releases import cost_with, planned_releases
from fedcausal_clients.policy.release_memory import ReleaseNote, load_memory, save_memory
from fedcausal_clients.policy.rules import Asked, RefusalError
from fedcausal_clients.replies import SITE, STEWARD, UPLOADS, check_form
from fedcausal_clients.site_config import Policy
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.canonical import JsonValue, canonical_json, sha256_hex
from fedcausal_privacy.dp.events import NoPrivacy
from fedcausal_privacy.dp.ledger import Budget, Charge, Ledger
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.messages import Message

__all__ = [
    "Asked",
    "Gate",
    "Permit",
    "RefusalError",
    "authorise",
    "check_budget",
    "check_rows",
    "check_study",
    "refusal_message",
    "refuse",
    "release",
]

_KINDS = SITE.keys() | STEWARD.keys()
_GREETING = "query.hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the gate consults and where it writes.

    `approved` are the hashes of the studies that the site's operator approved; `store` holds what
    the site remembers of its releases. `denied` are those that its operator said no to. A gate of
    a steward lets out what stewards send.
    """

    site: str
    policy: Policy
    approved: frozenset[str]
    ledger: Ledger
    audit: AuditLog
    store: StateStore
    denied: frozenset[str] = frozenset()
    is_steward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to release one statistic once; only `authorise` makes one.

    `redrawn` counts the draws of its noise that a crash lost before this one.
    """

    statistic: str
    kind: str
    length: int
    run_id: str
    round_number: int
    attempt: int = 1
    redrawn: int = 0

    def to_json(self) -> dict[str, JsonValue]:
        """The permit as JSON, so that a reply can be sent once more after a restart."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Permit":
        """The permit that `to_json` wrote."""
        return cls(**value)


def check_study(gate: Gate, study: Study) -> None:
    """Refuse a study that is not approved or asks for less caution than the site's policy."""
    rules.check_study(study, gate.policy, gate.approved, gate.denied)


def check_rows(gate: Gate, study: Study, num_rows: int) -> None:
    """Refuse when the site has too few rows to hide one, or more than the study's public cap."""
    rules.check_rows(study, gate.policy, num_rows)


def check_budget(gate: Gate, study: Study, run_id: str) -> None:
    """Refuse a run whose releases all together pass the site's budget, before the first is made.

    What the run itself has been charged is not counted twice; other runs' releases are, those of
    the same study included. Nothing is charged. At each release the ledger checks again.
    """
    limit = gate.policy.max_epsilon
    planned = () if limit is None else planned_releases(study)
    if limit is None or not planned:
        return
    others = [entry for entry in gate.ledger.entries() if entry.run != run_id]
    cost = cost_with(others, planned, study.privacy.delta)
    if cost > limit:
        raise RefusalError(
            RefusalCode.BUDGET_EXCEEDED,
            reason=f"all releases of the study would bring the site to epsilon {cost:.3g}; "
            f"policy.max_epsilon is {limit:g}. Nothing was charged",
        )


def authorise(
    gate: Gate,
    study: Study,
    asked: Sequence[Asked],
    *,
    survey: Survey,
    roster: tuple[str, ...],
    run_id: str,
    round_number: int,
    attempt: int = 1,
    lost_draws: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Permit]:
    """Check the statistics of a round against the policy and charge them, before any is computed.

    All pass or none: a refused one leaves nothing charged. The charge comes before noise is
    drawn; a crash afterwards costs budget without a release, never the other way round. Noise
    that was drawn and lost (`lost_draws`, by statistic) is a release of its own: drawing it once
    more is charged once more.

    Returns
    -------
    dict
        A permit for every statistic, by its name.

    Raises
    ------
    RefusalError
        With the code that the coordinator is told; nothing was computed.
    """
    policy = gate.policy
    check_study(gate, study)
    check_rows(gate, study, survey.num_rows)
    for one in asked:
        rules.check_epsilon(study, policy, one)
    rules.check_allowed(study, policy, asked)
    warning = _check_sums(gate, study, asked, survey, roster)
    permits = {
        one.spec.name: Permit(
            statistic=one.request.id(),
            kind=one.request.kind,
            length=one.spec.length,
            run_id=run_id,
            round_number=round_number,
            attempt=attempt,
            redrawn=lost_draws.get(one.spec.name, 0) if one.is_noised else 0,
        )
        for one in asked
    }
    _charge(gate, study, asked, permits, warning)
    if warning:
        gate.audit.append("warned", {"run": run_id, "round": round_number, "reason": warning})
    return permits


def release(gate: Gate, reply: Message, *, permits: Mapping[str, Permit] | None = None) -> Message:
    """Let a reply leave the site: check it against the permits, write it down, return it.

    Every reply of a site is the result of this function, also a greeting, a signature and a
    refusal. It has one of the forms of `fedcausal_clients.replies`, and an upload leaves only
    when each of its statistics has a permit.

    Raises
    ------
    RefusalError
        The reply holds what no permit or form covers.
    """
    permitted = permits or {}
    try:
        check_form(reply, STEWARD if gate.is_steward else SITE)
    except ProtocolError as error:
        raise RefusalError(RefusalCode.SITE_ERROR, reason=str(error)) from None
    names = {name.partition("/")[2] for name in reply.blobs} if reply.kind in UPLOADS else set()
    if names - set(permitted):
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
        gate.audit.note("reason", refusal.reason, code=str(refusal.code))
    return release(gate, refusal_message(gate.site, kind, refusal.code, refusal.where))


def refusal_message(site: str, kind: str, code: RefusalCode, where: str = "") -> Message:
    """A refusal as a message: who, the code, and the variable or kind it is about."""
    return Message(
        kind=kind if kind in _KINDS else _GREETING,
        header={"name": site, "refusal": str(code), "where": said_where(where)},
    )


def _check_sums(
    gate: Gate, study: Study, asked: Sequence[Asked], survey: Survey, roster: tuple[str, ...]
) -> str:
    """The rules for releases without noise; they are remembered before they can be made."""
    plain = [one for one in asked if not one.is_noised]
    for one in plain:
        rules.check_saturation(study, gate.policy, one, survey.num_rows)
        rules.check_dominance(study, gate.policy, one, survey)
    if not plain:
        return ""
    rules.check_requests(study, gate.policy, plain, gate.ledger.entries(study=study.hash()))
    memory = load_memory(gate.store)
    notes = [
        ReleaseNote(
            study=study.hash(),
            statistic=one.request.id(),
            roster=tuple(sorted(roster)),
            numbers=rules.numbers_of(study, one),
        )
        for one in plain
    ]
    for one in plain:
        rules.check_tables(memory, survey, notes, one)
    warning = rules.check_changed_rows(gate.policy, memory, survey)
    rules.check_numbers(gate.policy, memory, survey, notes)
    for note in notes:
        memory = memory.with_release(survey, note)
    save_memory(gate.store, memory)
    return warning


def _charge(
    gate: Gate,
    study: Study,
    asked: Sequence[Asked],
    permits: Mapping[str, Permit],
    warning: str,
) -> None:
    charges = [
        Charge(
            event=one.event or NoPrivacy(name=one.request.kind),
            study=study.hash(),
            run=permits[one.spec.name].run_id,
            release=_release(permits[one.spec.name]),
            part=one.kind.part,
            description="; ".join(
                filter(
                    None,
                    (
                        one.request.kind,
                        "of this site alone" if study.federation.robust else "",
                        _redrawn(permits[one.spec.name]),
                        warning,
                    ),
                )
            ),
        )
        for one in asked
    ]
    try:
        gate.ledger.charge_all(charges, budgets=_budgets(gate, study, asked))
    except BudgetExceededError as error:
        named = asked[0].request.kind
        raise RefusalError(RefusalCode.BUDGET_EXCEEDED, named, reason=str(error)) from None


def _budgets(gate: Gate, study: Study, asked: Sequence[Asked]) -> list[Budget]:
    """The study's budget of every part that is asked of, and the site's own over everything."""
    delta, digest = study.privacy.delta, study.hash()
    parts = {one.kind.part: rules.epsilon_of_part(study, one.kind) for one in asked}
    budgets = [
        Budget(epsilon=epsilon, delta=delta, study=digest, part=part)
        for part, epsilon in sorted(parts.items())
        if epsilon is not None
    ]
    if gate.policy.max_epsilon is not None and budgets:
        budgets.append(Budget(epsilon=gate.policy.max_epsilon, delta=delta))
    return budgets


def _release(permit: Permit) -> str:
    """What the ledger calls an upload: one of a later attempt is a release of its own.

    So is noise drawn anew after a crash.
    """
    attempt = "" if permit.attempt == 1 else f".{permit.attempt}"
    redrawn = "" if permit.redrawn == 0 else f"~{permit.redrawn}"
    return f"{permit.round_number}{attempt}{redrawn}/{permit.statistic}"


def _redrawn(permit: Permit) -> str:
    return "noise lost in a crash, drawn again" if permit.redrawn else ""


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
