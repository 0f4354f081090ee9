"""The coordinator's journal: every released total, written whole before the study goes on."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal_privacy.canonical import JsonValue, canonical_json, json_hash
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.store.study_store import Changes, StudyStore

__all__ = ["Journal", "write_whole"]

_IDENTITY = "study"
_ROUND = "round/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What was asked and what was released, round by round, in the store of one run.

    A study that is started again on the same store takes the recorded rounds from here and asks
    the sites only for what is new, so that no total is released twice. The journal belongs to one
    study, seed and roster; another one is refused.

    Privacy: released totals only, which the coordinator learns by design.
    """

    store: StudyStore

    @classmethod
    def open(
        cls, store: StudyStore, *, study_hash: str, seed: int, sites: Sequence[str]
    ) -> "Journal":
        """Open or begin the journal of one study."""
        identity = canonical_json({"study": study_hash, "seed": seed, "sites": sorted(sites)})
        known = store.read(_IDENTITY)
        if known is None:
            store.commit({_IDENTITY: identity})
        elif known != identity:
            raise ProtocolError(
                "the journal belongs to another study, seed or roster; name another output folder"
            )
        return cls(store=store)

    @property
    def num_rounds(self) -> int:
        """How many rounds are on record."""
        return len(self.store.keys(_ROUND))

    def record(
        self,
        number: int,
        requests: Sequence[Request],
        released: Mapping[str, Released],
        *,
        sites: Sequence[str],
        checkpoint: Changes | None = None,
    ) -> None:
        """Write one round down, with the sites in its totals; it is on the disk at return.

        `checkpoint` are changes that belong to it: both are written, or none.
        """
        content: dict[str, JsonValue] = {
            "asked": _digest(requests),
            "sites": sorted(sites),
            "released": {
                name: {
                    "totals": [int(total) for total in value.totals],
                    "withheld": [int(i) for i in np.flatnonzero(value.withheld)],
                }
                for name, value in released.items()
            },
        }
        self.store.commit({**(checkpoint or {}), _key(number): canonical_json(content)})

    def replay(
        self, number: int, requests: Sequence[Request]
    ) -> tuple[dict[str, Released], tuple[str, ...]] | None:
        """The totals of a recorded round and their sites; None when it is still to come.

        Raises
        ------
        ProtocolError
            The recorded round asked for something else.
        """
        stored = self.store.read(_key(number))
        if stored is None:
            return None
        content = json.loads(stored)
        if content["asked"] != _digest(requests):
            raise ProtocolError(
                f"round {number} of the journal asked for other statistics; it was written by "
                "another version: name another output folder"
            )
        totals = {name: _released(value) for name, value in content["released"].items()}
        return totals, tuple(content["sites"])


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically and durably: the old content or the new, never a mixture."""
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key(number: int) -> str:
    return f"{_ROUND}{number:04d}"


def _digest(requests: Sequence[Request]) -> str:
    return json_hash([request.to_json() for request in requests])


def _released(value: Mapping[str, list[int]]) -> Released:
    totals = np.array(value["totals"], dtype=np.int64)
    withheld = np.zeros(totals.shape, dtype=np.bool_)
    withheld[value["withheld"]] = True
    return Released(totals=totals, withheld=withheld)
