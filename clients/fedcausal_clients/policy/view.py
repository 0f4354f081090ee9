"""A site's policy in words, and what of a study it would refuse."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcausal.console import table
from fedcausal.errors import FedCausalError
from fedcausal.refusals import RefusalCode
from fedcausal.study import Study
from fedcausal.study_file.delta import MOST_EXPECTED, fitting_delta, has_epsilon
from fedcausal_clients.data.site_data import site_rows
from fedcausal_clients.home import Home, open_home
from fedcausal_clients.policy.consent import state_of
from fedcausal_clients.policy.planned_releases import cost_with, planned_releases
from fedcausal_clients.policy.planned_statistics import PlannedStatistic, planned_statistics
from fedcausal_clients.policy.rules import not_approved
from fedcausal_clients.site_config import Policy
from fedcausal_privacy.canonical import JsonValue

__all__ = ["PolicyFinding", "check_lines", "check_policy", "policy_lines"]

_COUNT_ROWS = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFinding:
    """One rule applied to a study; `code` is what the coordinator would be told."""

    status: Literal["ok", "warning", "failed"]
    rule: str
    detail: str
    code: str = ""

    def to_json(self) -> dict[str, JsonValue]:
        """The finding as a JSON object."""
        return {
            "status": self.status,
            "rule": self.rule,
            "detail": self.detail,
            "code": self.code,
        }


def policy_lines(policy: Policy) -> list[str]:
    """Every key with its value, and whether the site file says so or it is the default."""
    rows = [
        (name, _shown(getattr(policy, name)), "" if name in policy.model_fields_set else "default")
        for name in type(policy).model_fields
    ]
    return table(("policy", "value", ""), rows, indent=0)


def check_policy(folder: Path, study: Study) -> list[PolicyFinding]:
    """Apply a site's policy to a study before it asks; nothing is charged, nothing leaves.

    What depends on values of rows (changed rows, dominance) is not looked at here: `fedcausal
    site data inspect` does, and the gate.
    """
    with open_home(folder) as home:
        planned = planned_statistics(study)
        rows = _num_rows(home, folder)
        return [
            *_approval(home, study),
            *_thresholds(home.config.policy, study, rows),
            *_kinds(home.config.policy, study, planned),
            *_deltas(study, rows),
            *_epsilons(home, study, planned),
            *_widths(home.config.policy, planned, rows),
        ]


def check_lines(findings: Sequence[PolicyFinding], *, brief: bool = False) -> list[str]:
    """The findings for a terminal; brief: those alone that would be refused."""
    shown = [f for f in findings if f.status == "failed"] if brief else findings
    rows = [(f.status, f.rule, f.detail) for f in shown]
    return table(("", "rule", "found"), rows, indent=0) if rows else []


def _approval(home: Home, study: Study) -> Iterator[PolicyFinding]:
    state, decision = state_of(home.store, home.config.policy, study.hash())
    if state == "approved":
        yield PolicyFinding(status="ok", rule="approve", detail="approved")
    elif state == "denied" and decision is not None:
        detail = f"denied: {decision.reason}"
        code = str(RefusalCode.STUDY_DENIED)
        yield PolicyFinding(status="failed", rule="approve", detail=detail, code=code)
    else:
        yield PolicyFinding(
            status="warning",
            rule="approve",
            detail="not approved yet: no run until it is",
            code=str(RefusalCode.STUDY_NOT_APPROVED),
        )


def _thresholds(policy: Policy, study: Study, rows: int | None) -> Iterator[PolicyFinding]:
    cell, limit = study.privacy.min_cell, study.privacy.max_rows
    yield _finding(
        cell >= policy.min_cell,
        "min_cell",
        f"the study withholds totals below {cell}, the site asks for {policy.min_cell}",
        RefusalCode.MIN_CELL_TOO_LOW,
    )
    if study.federation.robust:
        yield _finding(
            policy.release_alone,
            "release_alone",
            "the study releases sums of this site's rows alone ([federation] robust)",
            RefusalCode.NOT_ALONE,
        )
    if rows is None:
        detail = "the rows cannot be counted; see fedcausal site data inspect"
        yield PolicyFinding(status="warning", rule="min_rows", detail=detail)
        return
    yield _finding(
        rows >= policy.min_rows,
        "min_rows",
        f"{rows} rows, {policy.min_rows} wanted",
        RefusalCode.TOO_FEW_ROWS,
    )
    if limit is not None:
        detail = f"{rows} rows, at most {limit} in the study (privacy.max_rows)"
        yield _finding(rows <= limit, "max_rows", detail, RefusalCode.TOO_MANY_ROWS)


def _kinds(
    policy: Policy, study: Study, planned: Sequence[PlannedStatistic]
) -> Iterator[PolicyFinding]:
    kinds = dict.fromkeys(one.kind for one in planned)
    missing = [kind for kind in kinds if policy.allow is not None and kind not in policy.allow]
    detail = f"not allowed: {', '.join(missing)}" if missing else f"asks for {', '.join(kinds)}"
    yield _finding(not missing, "allow", detail, RefusalCode.KIND_NOT_ALLOWED)
    if not study.model.mechanisms:
        return
    named = {own.name: own.version for own in study.model.mechanisms.values()}
    wanted = ", ".join(f"{name} {version}" for name, version in sorted(named.items()))
    yield _finding(
        not not_approved(study, policy),
        "mechanisms",
        f"code that would run on this site's rows: {wanted}",
        RefusalCode.MECHANISM_NOT_APPROVED,
    )


def _deltas(study: Study, rows: int | None) -> Iterator[PolicyFinding]:
    """The site's own rows beside delta: a warning, for a refusal would tell their number."""
    delta = study.privacy.delta
    if rows is None or not has_epsilon(study.privacy) or delta * rows < MOST_EXPECTED:
        return
    yield PolicyFinding(
        status="warning",
        rule="delta",
        detail=f"delta {delta:g} x {rows} rows is {delta * rows:.3g}, expected below 1: ask for "
        f"privacy.delta = {fitting_delta(rows):g}",
    )


def _epsilons(
    home: Home, study: Study, planned: Sequence[PlannedStatistic]
) -> Iterator[PolicyFinding]:
    policy, delta = home.config.policy, study.privacy.delta
    plain = list(dict.fromkeys(one.kind for one in planned if one.epsilon is None))
    parts = {one.part: one.epsilon for one in planned if one.epsilon is not None}
    if parts:
        detail = f"the study's delta is {delta:g}, at most {policy.max_delta:g} here"
        yield _finding(delta <= policy.max_delta, "max_delta", detail, RefusalCode.DELTA_TOO_LARGE)
    if policy.max_epsilon is None:
        return
    detail = f"without epsilon: {', '.join(plain)}" if plain else "every release has an epsilon"
    yield _finding(not plain, "max_epsilon", detail, RefusalCode.NO_EPSILON)
    entries = home.gate.ledger.entries()
    others = [entry for entry in entries if entry.study != study.hash()]
    spent, asked = cost_with(others, (), delta), planned_releases(study)
    whole = cost_with(others, asked, delta)
    yield _finding(
        whole <= policy.max_epsilon,
        "max_epsilon",
        f"{spent:.3g} spent by others, {whole:.3g} with this study, {policy.max_epsilon:g} in all",
        RefusalCode.BUDGET_EXCEEDED,
    )


def _widths(
    policy: Policy, planned: Sequence[PlannedStatistic], rows: int | None
) -> Iterator[PolicyFinding]:
    known = [one for one in planned if one.epsilon is None and one.width]
    if rows is None or not known:
        return
    limit = policy.max_parameters_per_row * rows
    for one in {one.kind: one for one in known}.values():
        width = one.width or 0
        detail = f"{one.kind}: {width} parameters, at most {limit:.0f} for {rows} rows"
        if one.is_exact or width <= limit:
            rule = "max_parameters_per_row"
            yield _finding(width <= limit, rule, detail, RefusalCode.SATURATED)
        else:
            yield PolicyFinding(
                status="warning",
                rule="max_parameters_per_row",
                detail=f"{detail}; the learnt graph decides",
                code=str(RefusalCode.SATURATED),
            )


def _finding(fits: bool, rule: str, detail: str, code: RefusalCode) -> PolicyFinding:
    if fits:
        return PolicyFinding(status="ok", rule=rule, detail=detail)
    return PolicyFinding(status="failed", rule=rule, detail=detail, code=str(code))


def _num_rows(home: Home, folder: Path) -> int | None:
    try:
        rows = site_rows(home.config, folder)
        columns = rows.header()[:1]
        return sum(int(batch.num_rows) for batch in rows.stream(columns, _COUNT_ROWS))
    except FedCausalError:
        return None


def _shown(value: object) -> str:
    if value is None:
        return "no limit"
    if isinstance(value, tuple):
        return ", ".join(f"{item[:16]}..." if len(item) == 64 else item for item in value) or "-"
    return str(value)
