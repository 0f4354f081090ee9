"""A study from its first request to its last: the protocol decides, the secure rounds fetch."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedcausal.errors import FedCausalError, InputError, ProtocolError, StorageError
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.secure_sum.aggregator_state import Dropout
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.journal import Journal
from fedcausal_server.link import FlowerLink, Transfer
from fedcausal_server.run_audit import RunAudit
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.session import Session
from fedcausal_server.study_store import SqliteStore, StudyStore

if TYPE_CHECKING:
    from fedcausal.study_state import StudyState

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
    in vain (a site that came back is in both).
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
    from fedcausal import protocol
    from fedcausal.statistics.implied import trains_flow
    from fedcausal.study_state import parse_steps
    from fedcausal_server.strategies import server_step

    names = tuple(sorted(sites))
    study.check_num_sites(len(names))
    _check_stewards(study, steward, second_steward)
    kept = SqliteStore.open(out / JOURNAL_FOLDER) if store is None else store
    journal = Journal.open(kept, study_hash=study.hash(), seed=seed, sites=names)
    rounds = SecureRounds(
        link,
        study,
        sites=names,
        steward=steward,
        second_steward=second_steward,
        run_id=new_run_id(),
        revoked=revoked,
        session=Session(store=kept),
    )
    state = protocol.start(
        study,
        len(names),
        seed,
        steps=parse_steps(list(steps)),
        server_step=server_step(study) if trains_flow(study) else None,
    )
    number, replayed, present = 0, 0, names
    record = RunAudit.open(audit, out / JOURNAL_FOLDER, rounds.run_id)
    stewards = (steward, second_steward)
    began = record.study(study, sites=names, stewards=stewards, is_resumed=rounds.is_resumed)
    with closing(kept), _ended(rounds), began:
        while not state.done:
            number += 1
            requests = tuple(state.requests)
            recorded = journal.replay(number, requests)
            if recorded is None:
                record.asked(number, requests)
                released, summed = _fetch(rounds, requests, state.blobs), rounds.summed
                journal.record(
                    number, requests, released, sites=summed, checkpoint=rounds.checkpoint()
                )
            else:
                released, summed = recorded
            replayed += recorded is not None
            record.released(number, released, sites=summed, replayed=recorded is not None)
            if summed != present:
                state, present = protocol.with_sites(state, len(summed)), summed
            state = protocol.step(state, released)
            kinds = tuple(sorted({request.kind for request in requests}))
            _LOG.info("round %d: %s", number, ", ".join(kinds))
            if on_progress is not None:
                on_progress(
                    Progress(round_number=number, kinds=kinds, replayed=recorded is not None)
                )
    return StudyOutcome(
        state=state,
        run_id=rounds.run_id,
        sites=present,
        steward=steward,
        second_steward=second_steward,
        dropouts=tuple(rounds.dropouts),
        num_rounds=number,
        num_replayed=replayed,
        transfers=tuple(rounds.transfers),
    )


@contextmanager
def _ended(rounds: SecureRounds) -> Iterator[None]:
    """Tell the parties of the end: of the study, or of a run that failed.

    Whatever else ends the process (a full disk, a signal) leaves the run open: it goes on later.
    """
    try:
        yield
    except StorageError:
        raise
    except FedCausalError:
        rounds.close()
        raise
    rounds.close()


def _check_stewards(study: Study, steward: str, second_steward: str) -> None:
    wanted = 2 if study.privacy.mode == "two-steward" else 1
    found = sum(1 for name in (steward, second_steward) if name)
    if found != wanted:
        raise InputError(
            f'privacy.mode = "{study.privacy.mode}": expected {wanted} steward(s) among the '
            f"parties, got {found}; start the run with the right ones"
        )


def _fetch(
    rounds: SecureRounds, requests: Sequence[Request], blobs: Mapping[str, bytes]
) -> dict[str, Released]:
    """One round; weights travel with updates and their losses, which are rounds of their own."""
    if not requests:
        raise ProtocolError("the study is not done and asks for nothing")
    if any(request.kind in WITH_WEIGHTS for request in requests):
        return rounds.sum(requests, kind="train.upload", blobs=blobs)
    return rounds.sum(requests)
