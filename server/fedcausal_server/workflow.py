"""A study from its first request to its last: the protocol decides, the secure rounds fetch."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedcausal.errors import (
    FedCausalError,
    InputError,
    ProtocolError,
    StorageError,
    UnreachableError,
)
from fedcausal.robust.screen import SetAside
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.secure_sum.aggregator_state import Dropout
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.robust_rounds import RobustRounds
from fedcausal_server.run_audit import RunAudit
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.store.journal import Journal
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import SqliteStore, StudyStore
from fedcausal_server.transport.link import FlowerLink, Transfer

if TYPE_CHECKING:
    from fedcausal.steps.state import StudyState

__all__ = ["JOURNAL_FOLDER", "Progress", "StudyOutcome", "new_run_id", "run_study"]

JOURNAL_FOLDER = "journal"
WITH_WEIGHTS = ("update", "validation", "flow_likelihoods")
_LOG = logging.getLogger("fedcausal.rounds")
STEPS = ("discovery", "model", "effects")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One finished round, for people who watch: its number, what it asked for, from where."""

    round_number: int
    kinds: tuple[str, ...]
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """The protocol's last state and how it was reached.

    `sites` are those whose data are in the totals, `dropouts` every wait for a site that ended
    in vain (a site that came back is in both), `set_aside` those whose sums were found wrong.
    """

    state: "StudyState"
    run_id: str
    sites: tuple[str, ...]
    steward: str
    num_rounds: int
    num_replayed: int
    transfers: tuple[Transfer, ...]
    second_steward: str = ""
    dropouts: tuple[Dropout, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


def new_run_id() -> str:
    """A name that no other run has."""
    return secrets.token_hex(8)


def run_study(
    study: Study,
    link: FlowerLink,
    out: Path,
    *,
    seed: int,
    sites: Iterable[str],
    steward: str,
    second_steward: str = "",
    steps: Sequence[str] = STEPS,
    on_progress: Callable[[Progress], None] | None = None,
    revoked: frozenset[str] = frozenset(),
    audit: AuditLog | None = None,
    store: StudyStore | None = None,
) -> StudyOutcome:
    """Run a study to its end.

    A process that is killed loses nothing that a site was heard to say: the same call on the same
    store goes on at the same step. Released rounds are replayed. The round in flight goes on
    under its own run id with the answers that had come. A run that failed is over, and the next
    one asks for its last round under a fresh run id.

    Parameters
    ----------
    study
        What to do.
    link
        To the parties.
    out
        The run folder; without a `store` and an `audit` log they are in `out/journal`.
    seed
        Of the coordinator's own resampling.
    sites, steward, second_steward
        Names of the parties; a second steward in two-steward mode.
    steps
        How far to go: some of "discovery", "model", "effects".
    on_progress
        Called after every round.
    revoked
        Fingerprints of keys with which nobody takes part.
    audit
        The coordinator's log; without one an unsigned log is kept beside the journal.
    store
        What the study must not lose; a SQLite file when left out.

    Raises
    ------
    FedCausalError
        As soon as a party refuses, does not keep the protocol, or is missing where nobody may.
    """
    with ExitStack() as ending:
        if store is not None:
            ending.enter_context(closing(store))
        names, stewards = _parties(study, sites, steward, second_steward)
        kept = (
            ending.enter_context(closing(SqliteStore.open(out / JOURNAL_FOLDER)))
            if store is None
            else store
        )
        journal = Journal.open(kept, study_hash=study.hash(), seed=seed, sites=names)
        rounds = (RobustRounds if study.federation.robust else SecureRounds)(
            link,
            study,
            sites=names,
            steward=steward,
            second_steward=second_steward,
            run_id=new_run_id(),
            revoked=revoked,
            session=Session(store=kept),
        )
        start = _Place(state=_started(study, len(names), seed, steps), present=names)
        record = RunAudit.open(audit, out / JOURNAL_FOLDER, rounds.run_id)
        began = record.study(study, sites=names, stewards=stewards, is_resumed=rounds.is_resumed)
        with _ended(rounds), began:
            done = _followed(start, rounds, journal, record, on_progress)
    return StudyOutcome(
        state=done.state,
        run_id=rounds.run_id,
        sites=done.present,
        steward=steward,
        second_steward=second_steward,
        dropouts=tuple(rounds.dropouts),
        set_aside=rounds.set_aside,
        num_rounds=done.num_rounds,
        num_replayed=done.num_replayed,
        transfers=tuple(rounds.transfers),
    )


def _started(study: Study, num_sites: int, seed: int, steps: Sequence[str]) -> "StudyState":
    """The protocol's first state."""
    from fedcausal import protocol
    from fedcausal.statistics.implied import trains_flow
    from fedcausal.steps.state import parse_steps
    from fedcausal_server.strategies import server_step

    return protocol.start(
        study,
        num_sites,
        seed,
        steps=parse_steps(list(steps)),
        server_step=server_step(study) if trains_flow(study) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a study is: the protocol's state, the sites in its last totals, rounds so far."""

    state: "StudyState"
    present: tuple[str, ...]
    num_rounds: int = 0
    num_replayed: int = 0


def _followed(
    place: _Place,
    rounds: SecureRounds,
    journal: Journal,
    record: RunAudit,
    on_progress: Callable[[Progress], None] | None,
) -> _Place:
    """Go from round to round until the protocol asks for nothing more."""
    while not place.state.done:
        requests = tuple(place.state.requests)
        before, place = place, _next(place, rounds, journal, record)
        kinds = tuple(sorted({request.kind for request in requests}))
        _LOG.info("round %d: %s", place.num_rounds, ", ".join(kinds))
        if on_progress is not None:
            replayed = place.num_replayed > before.num_replayed
            on_progress(Progress(round_number=place.num_rounds, kinds=kinds, replayed=replayed))
    return place


def _next(place: _Place, rounds: SecureRounds, journal: Journal, record: RunAudit) -> _Place:
    """One round: its totals from the journal, or from the sites and into the journal."""
    from fedcausal import protocol

    state, number = place.state, place.num_rounds + 1
    requests = tuple(state.requests)
    recorded = journal.replay(number, requests)
    if recorded is None:
        record.asked(number, requests)
        released, present = _fetch(rounds, requests, state.blobs), rounds.summed
        journal.record(number, requests, released, sites=present, checkpoint=rounds.checkpoint())
    else:
        released, present = recorded
    record.released(
        number,
        released,
        sites=present,
        replayed=recorded is not None,
        set_aside=rounds.set_aside,
    )
    if present != place.present:
        state = protocol.with_sites(state, len(present))
    return _Place(
        state=protocol.step(state, released),
        present=present,
        num_rounds=number,
        num_replayed=place.num_replayed + (recorded is not None),
    )


@contextmanager
def _ended(rounds: SecureRounds) -> Iterator[None]:
    """Tell the parties of the end: of the study, or of a run that failed.

    Whatever else ends the process (a full disk, a SuperLink that does not answer, a signal) leaves
    the run open: it goes on later.
    """
    try:
        yield
    except (StorageError, UnreachableError):
        raise
    except FedCausalError:
        rounds.close()
        raise
    rounds.close()


def _parties(
    study: Study, sites: Iterable[str], steward: str, second_steward: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the sites, sorted, and of the stewards that the study's mode wants."""
    names = tuple(sorted(sites))
    study.check_num_sites(len(names))
    stewards = tuple(name for name in (steward, second_steward) if name)
    wanted = 2 if study.privacy.mode == "two-steward" else 1
    if len(stewards) != wanted:
        raise InputError(
            f'privacy.mode = "{study.privacy.mode}": expected {wanted} steward(s) among the '
            f"parties, got {len(stewards)}; start the run with the right ones"
        )
    return names, stewards


def _fetch(
    rounds: SecureRounds, requests: Sequence[Request], blobs: Mapping[str, bytes]
) -> dict[str, Released]:
    """One round; weights travel with updates and their losses, which are rounds of their own."""
    if not requests:
        raise ProtocolError("the study is not done and asks for nothing")
    if any(request.kind in WITH_WEIGHTS for request in requests):
        return rounds.sum(requests, kind="train.upload", blobs=blobs)
    return rounds.sum(requests)
