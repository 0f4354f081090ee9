"""The coordinator's side of the secure sum: one roster per run, then one sum per round."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fedcausal.errors import FedCausalError, ProtocolError
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue
from fedcausal_privacy.known_keys import check_not_revoked
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.headers import UploadKind
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.link import FlowerLink, Replies, Transfer

__all__ = ["SecureRounds"]

CLOSE_SECONDS = 30.0


class SecureRounds:
    """Secure sums over one link, for one run.

    Parameters
    ----------
    link
        To the parties by name.
    study
        Sent to every party in the greeting; sites answer only for a study that they approved.
    sites, steward
        Names of the parties that take part.
    run_id
        Names the run; one run id is never used twice.
    revoked
        Fingerprints of keys with which nobody takes part.

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
        revoked: frozenset[str] = frozenset(),
    ) -> None:
        self._link, self._study = link, study
        self._sites, self._steward = tuple(sorted(sites)), steward
        self._state = aggregator.begin(
            run_id=run_id, study_hash=study.hash(), k_min=study.privacy.min_sites
        )
        self._revoked = revoked
        self._run_id, self._round, self._is_open = run_id, 0, False
        self.transfers: list[Transfer] = []

    @property
    def num_sites(self) -> int:
        """Sites whose vectors every sum adds."""
        return len(self._sites)

    def open(self) -> None:
        """Greet all parties, exchange one-time keys and freeze the roster: once per run."""
        greeting = self._with(aggregator.hello(self._state), {"study": self._study.to_toml()})
        greeted = self._note(self._link.greet(greeting, (*self._sites, self._steward)))
        hellos = dict(greeted.by_party)
        steward = hellos.pop(self._steward)
        self._state, advertise = aggregator.advertise(
            self._state, sites=list(hellos.values()), steward=steward
        )
        if self._state.manifest is not None:
            manifest = self._state.manifest
            check_not_revoked((*manifest.roster, manifest.steward), self._revoked)
        self._state, freeze = aggregator.freeze(self._state, self._ask_sites(advertise))
        self._state = aggregator.confirm(self._state, self._ask_sites(freeze))
        self._is_open = True

    def sum(
        self,
        requests: Sequence[Request],
        *,
        kind: UploadKind = "query.upload",
        blobs: Mapping[str, bytes] | None = None,
    ) -> dict[str, Released]:
        """Totals over all sites of the statistics asked for, by `Request.id()`: one round.

        The first one opens the run.

        Raises
        ------
        ProtocolError
            A message did not fit the protocol; nothing was revealed.
        DeadlineError
            A party did not answer; nothing was revealed.
        DisclosureError
            A site's policy refused; nothing was revealed.
        """
        specs = [derive_spec(self._study, request, self.num_sites) for request in requests]
        if len({spec.name for spec in specs}) != len(specs):
            raise ProtocolError("two requests of one round are the same")
        if not self._is_open:
            self.open()
        self._round += 1
        asked = self._with(
            aggregator.upload(self._state, round=self._round, specs=specs, kind=kind),
            {"requests": [request.to_json() for request in requests]},
        )
        asked = replace(asked, blobs={**asked.blobs, **(blobs or {})})
        blind = aggregator.combine(
            self._state,
            round=self._round,
            specs=specs,
            replies=self._ask_sites(asked),
            kind=kind,
        )
        answered = self._note(self._link.broadcast(self._with(blind, {}), [self._steward]))
        return aggregator.released(
            self._state,
            round=self._round,
            specs=specs,
            reply=answered.by_party[self._steward],
        )

    def close(self) -> None:
        """Tell all parties that the run is over, so that they forget its keys.

        A party that does not hear it keeps keys that no message can use any more; whether it
        heard makes no difference to the result, so that nobody waits for it long.
        """
        if not self._link.parties:
            return
        goodbye = self._with(Message(kind="query.close"), {})
        try:
            self._link.broadcast(goodbye, self._link.parties, deadline_seconds=CLOSE_SECONDS)
        except FedCausalError as error:
            logging.getLogger(__name__).warning("the end of the run was not heard: %s", error)

    def _ask_sites(self, message: Message) -> list[Message]:
        replies = self._note(self._link.broadcast(self._with(message, {}), self._sites))
        return list(replies.by_party.values())

    def _with(self, message: Message, header: Mapping[str, JsonValue]) -> Message:
        return replace(message, header={**message.header, "run_id": self._run_id, **header})

    def _note(self, replies: Replies) -> Replies:
        self.transfers.extend(replies.transfers)
        return replies
