"""A site's privacy budget in words: what was released, when, for which study, what is left."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fedcausal.console import table
from fedcausal.errors import InputError
from fedcausal_clients.home import LEDGER_FILE, STATE_FOLDER
from fedcausal_clients.site_config import SiteConfig
from fedcausal_privacy.canonical import JsonValue, fingerprint
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import NoPrivacy
from fedcausal_privacy.dp.ledger import Ledger, LedgerEntry

__all__ = ["BudgetLine", "BudgetView", "budget_lines", "budget_view"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """One release; `epsilon` is what it costs alone, None without differential privacy."""

    when: str
    study: str
    part: str
    what: str
    epsilon: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """The ledger of one site at one delta.

    Attributes
    ----------
    releases
        In the order of charging.
    spent_by_study
        Fingerprint -> epsilon of the study's private releases together.
    spent
        Epsilon of all private releases together, over all studies.
    limit, left
        `policy.max_epsilon`, and what remains of it; None without a limit.
    num_unprotected
        Releases without differential privacy, which no epsilon covers.
    """

    site: str
    delta: float
    releases: tuple[BudgetLine, ...]
    spent_by_study: dict[str, float]
    spent: float
    limit: float | None
    left: float | None
    num_unprotected: int

    def to_json(self) -> dict[str, JsonValue]:
        """The view as a JSON object."""
        content: dict[str, JsonValue] = asdict(self)
        return content


def budget_view(home: Path) -> BudgetView:
    """Read the ledger of a home folder; nothing is written.

    All costs are at the site's own `policy.max_delta`. Epsilons of several releases do not add up:
    the totals come from the accountant.

    Raises
    ------
    InputError
        The folder is no site's home.
    """
    config = SiteConfig.load(home)
    if config.site.role != "site":
        raise InputError(f"{home}: a steward has no data, and no budget; name a site's folder")
    path, delta = home / STATE_FOLDER / LEDGER_FILE, config.policy.max_delta
    entries: tuple[LedgerEntry, ...] = ()
    if path.is_file():
        with Ledger(path) as ledger:
            entries = ledger.entries()
    studies = dict.fromkeys(entry.study for entry in entries)
    spent = epsilon_of([entry.event for entry in entries], delta)
    limit = config.policy.max_epsilon
    return BudgetView(
        site=config.site.name,
        delta=delta,
        releases=tuple(_line(entry, delta) for entry in entries),
        spent_by_study={
            fingerprint(study): epsilon_of([e.event for e in entries if e.study == study], delta)
            for study in studies
        },
        spent=spent,
        limit=limit,
        left=None if limit is None else max(limit - spent, 0.0),
        num_unprotected=sum(isinstance(entry.event, NoPrivacy) for entry in entries),
    )


def budget_lines(view: BudgetView, *, brief: bool = False) -> list[str]:
    """The view for a terminal."""
    total = f"{view.site}: epsilon {view.spent:.3g} spent at delta {view.delta:g}"
    left = (
        "no limit (policy.max_epsilon)"
        if view.left is None
        else f"{view.left:.3g} of {view.limit:g} left"
    )
    lines = [f"{total}, {left}"]
    if view.num_unprotected:
        lines.append(f"{view.num_unprotected} releases without differential privacy, not counted")
    if brief:
        return lines
    if view.releases:
        header = ("when", "study", "part", "epsilon", "what")
        lines += ["", *table(header, _rows(view.releases)), ""]
    lines += [f"study {name}: epsilon {spent:.3g}" for name, spent in view.spent_by_study.items()]
    return lines


def _line(entry: LedgerEntry, delta: float) -> BudgetLine:
    is_private = not isinstance(entry.event, NoPrivacy)
    return BudgetLine(
        when=entry.when,
        study=fingerprint(entry.study),
        part=entry.part,
        what=entry.description,
        epsilon=epsilon_of([entry.event], delta) if is_private else None,
    )


def _rows(releases: Sequence[BudgetLine]) -> list[tuple[str, ...]]:
    return [
        (
            line.when.removesuffix("+00:00"),
            line.study[:9],
            line.part,
            "none" if line.epsilon is None else f"{line.epsilon:.3g}",
            line.what,
        )
        for line in releases
    ]
