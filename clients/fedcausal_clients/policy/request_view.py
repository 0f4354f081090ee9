"""A study that asks, as a site's operator sees it: who, what, what leaves, what left before."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from fedcausal.console import WIDTH, table
from fedcausal.errors import FedCausalError, InputError
from fedcausal.study import Study
from fedcausal_clients.daemon.home import Coordinator, read_coordinator
from fedcausal_clients.home import Home, open_home
from fedcausal_clients.policy.consent import (
    Decision,
    StudyRequest,
    find_request,
    kept_requests,
    state_of,
)
from fedcausal_clients.policy.planned_statistics import PlannedStatistic, planned_statistics
from fedcausal_privacy.canonical import JsonValue, fingerprint
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import NoPrivacy
from fedcausal_privacy.dp.ledger import LedgerEntry

__all__ = [
    "RequestView",
    "list_lines",
    "request_lines",
    "request_view",
    "request_views",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousStudy:
    """What one study released of this site's data so far; `epsilon` is of its noised releases."""

    study: str
    num_releases: int
    num_unprotected: int
    kinds: tuple[str, ...]
    last: str
    epsilon: float

    def to_json(self) -> dict[str, JsonValue]:
        """The summary as a JSON object."""
        return {
            "study": self.study,
            "releases": self.num_releases,
            "without_privacy": self.num_unprotected,
            "kinds": list(self.kinds),
            "last": self.last,
            "epsilon": self.epsilon,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """One kept request; `study` is None where this version cannot read it (`fault` says why).

    `coordinator` is whom this site joined, the only one that can ask it; None in simulations.
    """

    request: StudyRequest
    state: str
    decision: Decision | None
    study: Study | None
    fault: str = ""
    coordinator: Coordinator | None = None
    statistics: tuple[PlannedStatistic, ...] = ()
    previous: tuple[PreviousStudy, ...] = ()

    @property
    def mark(self) -> str:
        """The fingerprint to compare with the other sites, by voice."""
        return fingerprint(self.request.study)

    def to_json(self) -> dict[str, JsonValue]:
        """The view as a JSON object."""
        section = None if self.study is None else self.study.study
        return {
            "hash": self.request.study,
            "fingerprint": self.mark,
            "state": self.state,
            "reason": "" if self.decision is None else self.decision.reason,
            "decided": "" if self.decision is None else self.decision.when,
            "name": "" if section is None else section.name,
            "question": "" if section is None else section.question,
            "contact": "" if section is None else section.contact,
            "coordinator": "" if self.coordinator is None else self.coordinator.address,
            "authority": "" if self.coordinator is None else self.coordinator.fingerprint,
            "first": self.request.first,
            "last": self.request.last,
            "times": self.request.times,
            "fault": self.fault,
            "statistics": [one.to_json() for one in self.statistics],
            "previous": [one.to_json() for one in self.previous],
        }


def request_views(folder: Path) -> tuple[RequestView, ...]:
    """All kept requests of a site's folder."""
    with open_home(folder) as home:
        return tuple(_view(home, request) for request in kept_requests(home.store))


def request_view(folder: Path, named: str) -> RequestView:
    """The request that a whole hash or fingerprint names, with everything about it."""
    with open_home(folder) as home:
        return _view(home, find_request(home.store, named))


def list_lines(views: Sequence[RequestView], *, brief: bool = False) -> list[str]:
    """One line for each request, the newest last."""
    if brief:
        return [f"{view.mark} {view.state}" for view in views]
    if not views:
        return ["no study has asked yet"]
    rows = [(v.state, v.mark, v.request.last[:10], _name(v)) for v in views]
    return table(("", "fingerprint", "asked", "study"), rows, indent=0)


def request_lines(view: RequestView) -> list[str]:
    """A request for a terminal of 80 columns."""
    lines = [f"{_name(view)}: {view.state}", f"fingerprint  {view.mark}"]
    lines += [f"hash         {view.request.study}", ""]
    times = f"{view.request.times} time(s), first {view.request.first[:16]}"
    lines += _field("asked", f"{times}, last {view.request.last[:16]}")
    if view.decision is not None:
        reason = f": {view.decision.reason}" if view.decision.reason else ""
        lines += _field(view.state, f"{view.decision.when[:16]}, {view.decision.who}{reason}")
    if view.coordinator is not None:
        asker = f"{view.coordinator.address}, authority {view.coordinator.fingerprint}"
        lines += _field("asked by", asker)
    if view.study is None:
        return [*lines, *_field("unreadable", view.fault)]
    section, privacy = view.study.study, view.study.privacy
    lines += _field("question", section.question or "none given")
    lines += _field("contact", f"{section.contact or 'none given'} (as the study says)")
    lines += _field("variables", ", ".join(view.study.schema().names))
    many = f"over {privacy.min_sites} sites or more"
    whose = "of this site alone" if view.study.federation.robust else many
    lines += _field(
        "threshold",
        f"sums {whose}; totals of fewer than {privacy.min_cell} records are withheld",
    )
    lines += ["", *_how_it_leaves(view.study)]
    lines += _statistics_table(view.statistics)
    lines += ["", "What left of these data before:"]
    return [*lines, *_previous_table(view.previous)]


def _how_it_leaves(study: Study) -> list[str]:
    if not study.federation.robust:
        return ["What leaves, masked and encrypted, as sums over all sites:"]
    lies = study.federation.robust
    return wrap(
        "What leaves OPEN, as sums over THIS SITE'S rows alone, exact and signed, for the "
        f"coordinator to read ([federation] robust = {lies}: up to {lies} sites may lie, and who "
        "lies can be told only from each site's own sums); policy.release_alone must allow it:",
        WIDTH,
    )


def _view(home: Home, request: StudyRequest) -> RequestView:
    state, decision = state_of(home.store, home.config.policy, request.study)
    entries = home.gate.ledger.entries()
    delta = home.config.policy.max_delta
    previous = tuple(
        _previous(study, [e for e in entries if e.study == study], delta)
        for study in dict.fromkeys(entry.study for entry in entries)
    )
    try:
        study, fault = request.read(), ""
        statistics = planned_statistics(study)
    except FedCausalError as error:
        study, fault, statistics = None, str(error), ()
    return RequestView(
        request=request,
        state=state,
        decision=decision,
        study=study,
        fault=fault,
        coordinator=_coordinator(home.folder),
        statistics=statistics,
        previous=previous,
    )


def _coordinator(folder: Path) -> Coordinator | None:
    try:
        return read_coordinator(folder)
    except InputError:
        return None


def _previous(study: str, entries: Sequence[LedgerEntry], delta: float) -> PreviousStudy:
    return PreviousStudy(
        study=fingerprint(study),
        num_releases=len(entries),
        num_unprotected=sum(isinstance(entry.event, NoPrivacy) for entry in entries),
        kinds=tuple(sorted({entry.description.partition(";")[0] for entry in entries})),
        last=max(entry.when for entry in entries),
        epsilon=epsilon_of([entry.event for entry in entries], delta),
    )


def _name(view: RequestView) -> str:
    return "unreadable study" if view.study is None else view.study.study.name


def _field(name: str, text: str) -> list[str]:
    """A named field; what the study says is one printable paragraph, whatever it holds."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return wrap(plain, WIDTH, initial_indent=f"{name:<13}", subsequent_indent=" " * 13)


def _statistics_table(statistics: Sequence[PlannedStatistic]) -> list[str]:
    rows = [
        (
            one.kind,
            one.shape,
            str(one.rounds),
            "none" if one.epsilon is None else f"{one.epsilon:g}",
            str(one.min_cell or "-"),
            one.words,
        )
        for one in statistics
    ]
    header = ("kind", "numbers", "rounds", "epsilon", "cell", "what")
    return table(header, rows, indent=0)


def _previous_table(previous: Sequence[PreviousStudy]) -> list[str]:
    if not previous:
        return ["nothing"]
    rows = [
        (
            one.study[:9],
            str(one.num_releases),
            f"{one.epsilon:.3g}",
            str(one.num_unprotected),
            one.last[:10],
            ", ".join(one.kinds),
        )
        for one in previous
    ]
    header = ("study", "releases", "epsilon", "without", "last", "kinds")
    return table(header, rows, indent=0)
