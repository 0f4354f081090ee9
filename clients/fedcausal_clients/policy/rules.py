"""The rules of the gate: each looks at one thing and refuses, or lets it pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedcausal.errors import DisclosureError
from fedcausal.model.own_sums import OwnSums
from fedcausal.refusals import RefusalCode, explain
from fedcausal.statistics.implied import is_implied
from fedcausal.statistics.kind import PublicKind, Request
from fedcausal.statistics.tables_kind import TablesKind, requests_before
from fedcausal.study import Study
from fedcausal_clients.data.survey import Survey
from fedcausal_clients.policy.release_memory import Memory, ReleaseNote
from fedcausal_clients.site_config import Policy
from fedcausal_privacy.disclosure.row_sketch import RELATIVE_ERROR
from fedcausal_privacy.dp.events import Event
from fedcausal_privacy.dp.ledger import LedgerEntry
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "Asked",
    "RefusalError",
    "asked_kinds",
    "check_allowed",
    "check_changed_rows",
    "check_dominance",
    "check_epsilon",
    "check_numbers",
    "check_own_cells",
    "check_requests",
    "check_rows",
    "check_saturation",
    "check_study",
    "check_tables",
    "epsilon_of_part",
    "not_approved",
    "numbers_of",
]

# An estimated number of changed rows counts as too few up to two standard errors above.
_MARGIN = 1.0 + 2.0 * RELATIVE_ERROR


class RefusalError(DisclosureError):
    """A site's no: a code of the closed list, and the column or kind it is about.

    `reason` is for the site's own audit log and never leaves it.
    """

    def __init__(self, code: RefusalCode, where: str = "", *, reason: str = "") -> None:
        super().__init__(f"{where + ': ' if where else ''}{code}: {explain(code)}")
        self.code, self.where, self.reason = code, where, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One statistic that a round asks for; `event` is the noise it will get, None for none."""

    request: Request
    kind: PublicKind
    spec: StatisticSpec
    event: Event | None = None

    @property
    def is_noised(self) -> bool:
        """Whether differential privacy covers the release, so that rules on sums do not apply."""
        return self.event is not None


def check_study(
    study: Study,
    policy: Policy,
    approved: frozenset[str],
    denied: frozenset[str] = frozenset(),
) -> None:
    """Refuse a study that is not approved or asks for less caution than the site's policy.

    A robust study releases each site's sums by themselves; only a policy that says so allows it.
    """
    if study.hash() in denied:
        raise RefusalError(RefusalCode.STUDY_DENIED)
    if study.hash() not in approved:
        raise RefusalError(RefusalCode.STUDY_NOT_APPROVED)
    if study.privacy.min_cell < policy.min_cell:
        raise RefusalError(RefusalCode.MIN_CELL_TOO_LOW)
    if study.federation.robust and not policy.release_alone:
        raise RefusalError(RefusalCode.NOT_ALONE)


def check_own_cells(study: Study, asked: Asked, vector: IntVector) -> None:
    """Refuse a vector of this site alone that counts few records: no total hides them."""
    counts = vector[list(asked.spec.counts)]
    if np.any((counts > 0) & (counts < study.privacy.min_cell)):
        raise RefusalError(RefusalCode.SMALL_CELLS, asked.request.kind)


def check_rows(study: Study, policy: Policy, num_rows: int) -> None:
    """Refuse when the site has too few rows to hide one, or more than the study's public cap."""
    if num_rows < policy.min_rows:
        raise RefusalError(RefusalCode.TOO_FEW_ROWS)
    if study.privacy.max_rows is not None and num_rows > study.privacy.max_rows:
        raise RefusalError(RefusalCode.TOO_MANY_ROWS)


def check_allowed(study: Study, policy: Policy, asked: Sequence[Asked]) -> None:
    """Refuse kinds that the study does not need or the policy does not list.

    Users' own mechanisms run code on the site's rows: only those that the policy names.
    """
    for one in asked:
        if not is_implied(study, one.request):
            raise RefusalError(RefusalCode.NOT_IN_STUDY, one.request.kind)
        if policy.allow is not None and one.request.kind not in policy.allow:
            raise RefusalError(RefusalCode.KIND_NOT_ALLOWED, one.request.kind)
        if one.request.kind == OwnSums.name and not_approved(study, policy):
            raise RefusalError(RefusalCode.MECHANISM_NOT_APPROVED, one.request.kind)


def not_approved(study: Study, policy: Policy) -> list[str]:
    """The study's own mechanisms that the policy does not name."""
    named = {own.name for own in study.model.mechanisms.values()}
    return sorted(named - set(policy.mechanisms))


def check_epsilon(study: Study, policy: Policy, asked: Asked) -> None:
    """Refuse a release whose noise is not what the study's part and the site's budget ask for."""
    name, epsilon = asked.request.kind, epsilon_of_part(study, asked.kind)
    if epsilon is not None and not asked.is_noised:
        raise RefusalError(RefusalCode.NO_PRIVATE_FORM, name)
    if epsilon is not None and study.privacy.delta > policy.max_delta:
        raise RefusalError(RefusalCode.DELTA_TOO_LARGE, name)
    if epsilon is None and policy.max_epsilon is not None:
        raise RefusalError(RefusalCode.NO_EPSILON, name)


def check_saturation(study: Study, policy: Policy, asked: Asked, num_rows: int) -> None:
    """Refuse one Gram or model with too many parameters for the rows."""
    if asked.kind.width(study, asked.request) > policy.max_parameters_per_row * num_rows:
        raise RefusalError(RefusalCode.SATURATED, asked.request.kind)


def check_dominance(study: Study, policy: Policy, asked: Asked, survey: Survey) -> None:
    """Refuse sums of a variable whose squares about the mean are nearly one record's.

    It covers the kinds that are sums of values: Grams, families, slopes, updates. From such a sum
    the record can be read, up to what the others add. In a total that one record dominates (with
    a share above 0.9 in at least 20 rows) that record dominates the squares, too, so this one
    measure stands for both. Counts have the cell rule. Which variable it is stays at the site.
    """
    variable, share = survey.dominated
    if numbers_of(study, asked) and share > policy.max_dominance:
        raise RefusalError(
            RefusalCode.DOMINATED,
            asked.request.kind,
            reason=f"one record has the share {share:.3f} of the squares of {variable!r}",
        )


def check_requests(
    study: Study, policy: Policy, asked: Sequence[Asked], entries: Sequence[LedgerEntry]
) -> None:
    """Refuse the next different request of a kind: a budget for releases that have no epsilon.

    Every request is in the ledger before its data are read, one that then fails too.
    """
    known = asked_kinds(entries)
    for kind in {one.request.kind for one in asked}:
        ours = [one for one in asked if one.request.kind == kind]
        in_a_run = study.model.rounds if ours[0].kind.part == "model" else 1
        ids = known.get((ours[0].kind.part, kind), set()) | {one.request.id() for one in ours}
        if len(ids) > policy.max_requests * in_a_run:
            raise RefusalError(RefusalCode.TOO_MANY_REQUESTS, kind)


def check_numbers(
    policy: Policy, memory: Memory, survey: Survey, notes: Sequence[ReleaseNote]
) -> None:
    """Refuse when all numbers ever released of these rows could nearly be solved for them.

    A number is an entry of a sum of values; each of the K sites of a roster counts 1 / K of it.
    The limit is `max_numbers_per_value` times the site's rows times the variables that the
    releases are about. The same statistic over the same roster counts once.
    """
    known = set(memory.related(survey))
    share = sum(note.share for note in known | set(notes))
    limit = policy.max_numbers_per_value * survey.num_rows * len(survey.columns)
    if notes and share > limit:
        raise RefusalError(
            RefusalCode.TOO_MANY_NUMBERS,
            notes[-1].statistic.rpartition("-")[0],
            reason=f"{share:.0f} numbers for this site, and {limit:.0f} are allowed",
        )


def check_tables(
    memory: Memory, survey: Survey, notes: Sequence[ReleaseNote], asked: Asked
) -> None:
    """Refuse a request for tables that leaves out one that this site has answered before.

    What overlapping tables say together is examined where their sums are opened, against all
    tables that the request names. A coordinator that named fewer could ask in two requests, or
    two runs, for what one would withhold. Only the same rows, roster and study matter: other
    totals do not complete a table. A request that was answered before releases the same again.
    """
    if asked.request.kind != TablesKind.name:
        return
    own = next(note for note in notes if note.statistic == asked.request.id())
    answered = {
        note.statistic
        for note in memory.of_same_rows(survey)
        if (note.study, note.roster) == (own.study, own.roster)
        and note.statistic.startswith(f"{TablesKind.name}-")
    }
    named = {request.id() for request in requests_before(asked.request)}
    if own.statistic not in answered and answered - named:
        raise RefusalError(RefusalCode.TABLES_LEFT_OUT, asked.request.kind)


def check_changed_rows(policy: Policy, memory: Memory, survey: Survey) -> str:
    """Refuse, or warn of, a release that could be subtracted from an earlier one.

    Since every earlier release, each column they share is the same or differs by at least
    `min_rows` records. Rosters that overlap are the secure sum's own rule
    (`fedcausal_privacy.secure_sum.atoms`).

    Returns
    -------
    str
        With `differencing = "warn"` what would have been refused; empty when nothing would.
    """
    refusal = _few_changes(policy, memory, survey)
    if refusal is None:
        return ""
    if policy.differencing == "refuse":
        raise refusal
    return refusal.reason


def epsilon_of_part(study: Study, kind: PublicKind) -> float | None:
    """The epsilon of the part that a kind is charged to."""
    part = getattr(study.privacy, kind.part)
    return None if part is None else part.epsilon


def numbers_of(study: Study, asked: Asked) -> int:
    """Entries that are sums of records' values: neither counts of records nor of sites.

    Zero where saturation is no risk (`width` 0): histograms and votes are counts, which the cell
    rule and `max_requests` guard.
    """
    if asked.kind.width(study, asked.request) == 0:
        return 0
    spec = asked.spec
    counts = {*spec.counts, *spec.presence, *(i for table in spec.tables for i in table.cells)}
    counts |= set() if spec.groups is None else set(spec.groups.entries())
    return spec.length - len(counts)


def asked_kinds(entries: Sequence[LedgerEntry]) -> dict[tuple[str, str], set[str]]:
    """Per part and kind, the ids of the statistics in the ledger."""
    found: dict[tuple[str, str], set[str]] = {}
    for entry in entries:
        statistic = entry.release.partition("/")[2]
        found.setdefault((entry.part, statistic.rpartition("-")[0]), set()).add(statistic)
    return found


def _few_changes(policy: Policy, memory: Memory, survey: Survey) -> RefusalError | None:
    fewest = policy.min_rows
    for look, column, num_changed in memory.changes(survey):
        difference = abs(look.num_rows - survey.num_rows)
        if 0 < difference < fewest:
            about = f"the site has {difference} rows more or fewer than at a release before"
            return RefusalError(RefusalCode.ROWS_CHANGED_LITTLE, reason=about)
        if 0 < num_changed < fewest * _MARGIN:
            name = column.rpartition(":")[0]
            about = f"about {num_changed:.0f} values of {name!r} changed since a release before"
            return RefusalError(RefusalCode.ROWS_CHANGED_LITTLE, reason=about)
    return None
