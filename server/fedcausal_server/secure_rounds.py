"""The coordinator's side of the secure sum: one roster per run, then one sum per round."""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.robust.screen import SetAside
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.keys.known_keys import check_not_revoked
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, dropout, own_uploads
from fedcausal_privacy.secure_sum.aggregator_state import AggregatorState, Dropout, Post
from fedcausal_privacy.secure_sum.headers import UploadKind
from fedcausal_privacy.secure_sum.recovery import Event, advance, awaited
from fedcausal_privacy.statistic_spec import Released, StatisticSpec
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import Changes, MemoryStore
from fedcausal_server.transport.link import FIRST_POLL_SECONDS, POLL_SECONDS, FlowerLink, Transfer

__all__ = ["SecureRounds"]

CLOSE_SECONDS = 30.0
CLOSE_SECONDS_OF_A_PARTY = 0.1
MOST_TOGETHER = 64
"""Replies that are written together at most: a write waits for the disk, about 10 ms."""
PART_TOGETHER = 16
"""The part of a roster whose replies are written together; below so many sites each alone."""
_LOG = logging.getLogger("fedcausal.rounds")


class SecureRounds:
    """Secure sums over one link, for one run.

    Parameters
    ----------
    link
        To the parties by name.
    study
        Sent to every party in the greeting; sites answer only for a study that they approved.
    sites, steward, second_steward
        Names of the parties that take part; a second steward in two-steward mode only.
    run_id
        Names the run; one run id is never used twice.
    revoked
        Fingerprints of keys with which nobody takes part.
    session
        Where the run is written down. When it holds a run of the same study and parties, that
        one goes on, under its own id: what had come is not asked for again.

    Every wait has the link's deadline: for all sites at the greeting; then for all sites at each
    message, after which the run goes on without the missing ones where the protocol allows it;
    for the stewards always.

    Privacy: holds ciphertexts, signed headers and released totals; no key that decrypts.
    """

    def __init__(
        self,
        link: FlowerLink,
        study: Study,
        *,
        sites: Iterable[str],
        steward: str,
        run_id: str,
        second_steward: str = "",
        revoked: frozenset[str] = frozenset(),
        session: Session | None = None,
    ) -> None:
        self._link, self._study = link, study
        self._session = session or Session(store=MemoryStore())
        fresh = aggregator.begin(
            run_id=run_id,
            study_hash=study.hash(),
            sites=sorted(sites),
            steward=steward,
            second_steward=second_steward,
            k_min=study.privacy.min_sites,
            quorum=study.rounds.quorum,
        )
        before = self._session.state()
        self._is_resumed = before is not None and _is_same_run(before, fresh)
        self._state = before if before is not None and self._is_resumed else fresh
        self._came = self._session.events() if self._is_resumed else ()
        self._is_open = self._state.phase == "ready"
        self._is_linked = False
        self._revoked = revoked
        self._greetings: list[Transfer] = []

    @property
    def run_id(self) -> str:
        """The run's name: the one given, or that of the run which goes on."""
        return self._state.run_id

    @property
    def is_resumed(self) -> bool:
        """Whether a run goes on that an earlier process began."""
        return self._is_resumed

    @property
    def num_sites(self) -> int:
        """Sites that were invited; what a statistic's public bounds are derived from."""
        return len(self._state.sites)

    @property
    def summed(self) -> tuple[str, ...]:
        """The sites whose vectors are in the last total."""
        return self._state.summed

    @property
    def dropouts(self) -> tuple[Dropout, ...]:
        """Every wait for a site that ended in vain."""
        return self._state.dropouts

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """Sites whose sums were found wrong; a secure sum shows none."""
        return ()

    @property
    def transfers(self) -> list[Transfer]:
        """Bytes of every message so far."""
        return [*self._greetings, *self._link.transfers]

    def open(self) -> None:
        """Greet all parties, exchange keys and freeze the roster: once per run."""
        before = self._state
        state, posts = aggregator.open(before, {"study": self._study.to_toml()})
        if not self._came:
            greeted = self._link.greet(posts[0].message, state.waiting)
            self._greetings += greeted.transfers
            self._is_linked = True
            came = greeted.by_party.items()
            events = tuple(Event(party=name, reply=reply) for name, reply in came)
            posts = self._replay((state, posts), events)
            self._check_keys(otherwise=before)
            self._session.begin(before, self._link.nodes, events)
        else:
            posts = self._replay((state, posts), self._came)
        self._drive(posts)
        self._session.store.commit(self.checkpoint())
        self._is_open = True

    def sum(
        self,
        requests: Sequence[Request],
        *,
        kind: UploadKind = "query.upload",
        blobs: Mapping[str, bytes] | None = None,
    ) -> dict[str, Released]:
        """Totals over the sites of the statistics asked for, by `Request.id()`: one round.

        The first one opens the run. `summed` says afterwards which sites are in the totals.

        Raises
        ------
        ProtocolError
            A message did not fit the protocol; nothing was revealed.
        DeadlineError
            A party did not answer and may not be missing; nothing of the round was revealed.
        DisclosureError
            A site's policy refused; nothing was revealed.
        """
        self._ask(requests, kind=kind, blobs=blobs)
        return dict(self._state.totals)

    def checkpoint(self) -> Changes:
        """What must be committed together with the totals of `sum`, before the next one."""
        return self._session.checkpoint(self._state)

    def close(self) -> None:
        """Tell all parties that the run is over, so that they forget its keys.

        A party that does not hear it keeps keys that no message can use any more; whether it
        heard makes no difference to the result, so that nobody waits for it long. A site that
        was lost and came back is told, too.
        """
        if self._is_resumed and not self._is_linked:
            self._link.know(self._session.nodes())
        self._session.end()
        if not self._link.parties:
            return
        self._link.forget()
        header: dict[str, JsonValue] = {"run_id": self._state.run_id}
        if self._state.released:
            header["released"] = list(self._state.released[-1])
            header["released_envelope"] = self._state.released_envelope
        header |= self._void_open_round()
        lost = {gone.site for gone in self._state.dropouts} - {*self._state.members}
        reachable = [name for name in self._link.parties if name not in lost]
        try:
            self._link.broadcast(
                Message(kind="query.close", header=header),
                reachable,
                deadline_seconds=CLOSE_SECONDS + CLOSE_SECONDS_OF_A_PARTY * len(reachable),
            )
        except FedCausalError as error:
            logging.getLogger(__name__).warning("the end of the run was not heard: %s", error)

    def _ask(
        self,
        requests: Sequence[Request],
        *,
        kind: UploadKind,
        blobs: Mapping[str, bytes] | None = None,
        without: Collection[str] = (),
    ) -> list[StatisticSpec]:
        """One round, without the sites that are not asked any more; what it asked for."""
        specs = [derive_spec(self._study, request, self.num_sites) for request in requests]
        if len({spec.name for spec in specs}) != len(specs):
            raise ProtocolError("two requests of one round are the same")
        if not self._is_open:
            self.open()
        if without:
            self._state = own_uploads.asking(self._state, without)
        asked: dict[str, JsonValue] = {"requests": [request.to_json() for request in requests]}
        start = aggregator.ask(self._state, specs=specs, kind=kind, header=asked, blobs=blobs)
        self._drive(self._replay(start, self._came))
        return specs

    def _void_open_round(self) -> dict[str, JsonValue]:
        """The steward's void token of a round that failed: sites need not remember its roster."""
        message = dropout.void_request(self._state)
        if message is None:
            return {}
        try:
            replies = self._link.broadcast(
                message, [self._state.steward], deadline_seconds=CLOSE_SECONDS
            )
        except FedCausalError:
            return {}
        return {"void": replies.by_party[self._state.steward].header.get("envelope")}

    def _replay(self, start: aggregator.Step, events: Sequence[Event]) -> tuple[Post, ...]:
        """Take a first step and what followed it; the messages that still want an answer."""
        before, (state, posts) = self._state, start
        for event in events:
            self._state = state
            try:
                state, more = self._advance(event)
            except ProtocolError:
                self._state = before
                raise
            posts += more
        self._state, self._came = state, ()
        if not self._is_linked:
            self._check_keys(otherwise=before)
            self._link.rejoin(self._session.nodes())
            self._is_linked = True
        return awaited(state, posts)

    def _check_keys(self, *, otherwise: AggregatorState) -> None:
        """Go back to a state before somebody came with a revoked key."""
        if self._state.manifest is None:
            return
        try:
            check_not_revoked(self._state.manifest.parties, self._revoked)
        except ProtocolError:
            self._state = otherwise
            raise

    def _drive(self, posts: Sequence[Post]) -> None:
        """Send, take answers as they come and let deadlines pass, until nobody is waited for."""
        self._link.post(posts)
        stage, deadline, pause = _stage(self._state), self._deadline(), FIRST_POLL_SECONDS
        while aggregator.is_waiting(self._state):
            came = self._take_what_came(deadline)
            if _stage(self._state) != stage:
                stage, deadline = _stage(self._state), self._deadline()
            elif not came and (self._link.is_silent or time.monotonic() >= deadline):
                self._expire()
                stage, deadline = _stage(self._state), self._deadline()
            elif not came:
                self._link.repeat(deadline=deadline)
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            pause = FIRST_POLL_SECONDS if came else min(2 * pause, POLL_SECONDS)

    def _take_what_came(self, deadline: float) -> bool:
        """Take replies some at a time; they are on the disk before anything is said about them.

        With many sites one write is of several replies. Of what a kill keeps off the disk nobody
        was told anything: its sites are asked again, and give the same bytes.
        """
        together = min(MOST_TOGETHER, self.num_sites // PART_TOGETHER)
        events, posts, came = list[Event](), list[Post](), False
        try:
            for name, reply in self._link.poll(deadline=deadline):
                came = True
                posts += self._take(Event(party=name, reply=reply), events)
                if len(events) >= together:
                    self._session.add(*events)
                    self._link.post(posts)
                    events, posts = [], []
        finally:
            self._session.add(*events)
        self._link.post(posts)
        return came

    def _take(self, event: Event, taken: list[Event]) -> tuple[Post, ...]:
        """One reply; when it changes the state it is added to those that must be written."""
        state, posts = self._advance(event)
        if state is not self._state:
            taken.append(event)
        self._state = state
        return posts

    def _advance(self, event: Event) -> aggregator.Step:
        """One event; of a reply that is not taken the log says whose, when and why.

        The words of the reason may hold a party's own, so that they are not written down.
        """
        reasons: list[str] = []
        name, before = event.party, self._state
        stage = f"{before.phase}, round {before.round}, attempt {before.attempt}"
        try:
            step = advance(before, event, on_refusal=reasons.append)
        except ProtocolError:
            _LOG.warning("%s: a reply was refused (%s)", name, stage)
            raise
        if reasons:
            _LOG.info("%s: a reply that nobody waits for was ignored (%s)", name, stage)
        return step

    def _expire(self) -> None:
        before = len(self._state.dropouts)
        state, posts = advance(self._state, Event())
        self._session.add(Event())
        self._state = state
        for lost in state.dropouts[before:]:
            _LOG.info("%s dropped out at %s (attempt %d)", lost.site, lost.kind, lost.attempt)
        self._link.post(posts)

    def _deadline(self) -> float:
        return time.monotonic() + self._link.deadline_seconds


def _stage(state: AggregatorState) -> tuple[str, int, int]:
    """What a deadline is for: one message to all who must answer it."""
    return state.phase, state.round, state.attempt


def _is_same_run(stored: AggregatorState, fresh: AggregatorState) -> bool:
    """Whether a stored run is of the study and the parties at hand."""
    return stored.study_hash == fresh.study_hash and (
        (stored.sites, stored.steward, stored.second_steward, stored.k_min, stored.quorum)
        == (fresh.sites, fresh.steward, fresh.second_steward, fresh.k_min, fresh.quorum)
    )
