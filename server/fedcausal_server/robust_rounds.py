"""The coordinator's side of a robust study: each site's own sums, checked and compared."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fedcausal.errors import ProtocolError
from fedcausal.robust.screen import Screen, SetAside
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.secure_sum import own_uploads
from fedcausal_privacy.secure_sum.headers import OWN_UPLOAD, UPLOAD, UploadKind
from fedcausal_privacy.secure_sum.parsing import json_object
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.secure_rounds import SecureRounds
from fedcausal_server.store.study_store import Changes
from fedcausal_server.transport.link import FlowerLink

__all__ = ["RobustRounds"]

_SCREEN = "screen"
_LOG = logging.getLogger("fedcausal.rounds")


class RobustRounds(SecureRounds):
    """Rounds of a study in which up to `federation.robust` sites may lie.

    The greeting and the roster are those of the secure sum. Then every site sends its vectors
    open and signed; those that break a public bound or lie apart are set aside, are not asked
    again, and the totals are over the others. Who was set aside is kept with the rounds.

    Privacy: the coordinator reads each site's exact sums. The sites' policies allowed it.
    """

    def __init__(self, link: FlowerLink, study: Study, **options: Any) -> None:
        super().__init__(link, study, **options)
        stored = self._session.store.read(_SCREEN)
        self._screen = (
            Screen(most=study.federation.robust)
            if stored is None
            else Screen.from_json(json_object(stored))
        )

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """Sites whose sums are in no total any more, and why."""
        return self._screen.set_aside

    def sum(
        self,
        requests: Sequence[Request],
        *,
        kind: UploadKind = UPLOAD,
        blobs: Mapping[str, bytes] | None = None,
    ) -> dict[str, Released]:
        """Totals over the sites that are not set aside: one round.

        Raises
        ------
        DataError
            More sites broke a bound than may lie.
        ProtocolError, DeadlineError, DisclosureError
            As in `SecureRounds.sum`.
        """
        if kind != UPLOAD:
            raise ProtocolError("a robust study trains nothing")
        specs = self._ask(requests, kind=OWN_UPLOAD, without=self._screen.names)
        before = len(self._screen.set_aside)
        vectors = own_uploads.vectors(self._state)
        self._screen, totals, kept = self._screen.take(self._study, requests, specs, vectors)
        for one in self._screen.set_aside[before:]:
            _LOG.info("%s is set aside (%s): %s", one.site, one.kind, one.words)
        self._state = own_uploads.summed(self._state, kept)
        return totals

    def checkpoint(self) -> Changes:
        """What must be committed together with the totals, and who was set aside."""
        return {**super().checkpoint(), _SCREEN: canonical_json(self._screen.to_json())}
