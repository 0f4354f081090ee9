"""The coordinator's own audit log: what it asked of whom, and what was released."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fedcausal.errors import FedCausalError, StorageError, UnreachableError
from fedcausal.robust.screen import SetAside
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.audit_head import head_path
from fedcausal_privacy.canonical import JsonValue, sha256_hex
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.statistic_spec import Released

__all__ = ["AUDIT_CHOICE", "AUDIT_FILE", "RunAudit", "log_of_run", "signed_log"]

AUDIT_FILE = "audit.jsonl"
AUDIT_CHOICE = "audit.json"
"""The file of a workspace that says which key signs the log of its run."""


def signed_log(path: Path, key: Path) -> AuditLog:
    """A log whose head the coordinator signs; one that was begun without the key stays unsigned.

    Lines that nobody vouched for cannot be vouched for later.
    """
    is_new = not path.exists() or not path.stat().st_size
    began_signed = is_new or head_path(path).exists()
    signer = Identity.load(key, None) if key.is_file() and began_signed else None
    return AuditLog(path=path, signer=signer)


def log_of_run(workspace: Path, folder: Path) -> AuditLog | None:
    """The signed log of a deployed run; None in a simulation, whose workspace names no key."""
    choice = workspace / AUDIT_CHOICE
    if not choice.is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return signed_log(folder / AUDIT_FILE, Path(json.loads(choice.read_bytes())["key"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAudit:
    """One run in a coordinator's log.

    A line has names, kinds and digests: with a site's log it shows that both speak of the same
    requests. It holds no total and no key.
    """

    log: AuditLog
    run: str

    @classmethod
    def open(cls, log: AuditLog | None, folder: Path, run: str) -> "RunAudit":
        """A run in the log given, or in an unsigned one in `folder`."""
        if log is None:
            folder.mkdir(parents=True, exist_ok=True)
            log = AuditLog(path=folder / AUDIT_FILE)
        return cls(log=log, run=run)

    @contextmanager
    def study(
        self,
        study: Study,
        *,
        sites: Sequence[str],
        stewards: Iterable[str],
        is_resumed: bool = False,
    ) -> Iterator[None]:
        """Write down that a study began, or its run goes on, and how it ended.

        It finished, failed or was stopped; after a kill there is no line.
        """
        self._append(
            "study resumed" if is_resumed else "study began",
            study=study.hash(),
            sites=list(sites),
            stewards=[name for name in stewards if name],
        )
        try:
            yield
        except (StorageError, UnreachableError) as error:
            with suppress(StorageError):
                self._append("study stopped", study=study.hash(), error=type(error).__name__)
            raise
        except FedCausalError as error:
            # The class alone: the words may name a site's column.
            self._append("study failed", study=study.hash(), error=type(error).__name__)
            raise
        except BaseException as error:
            self._append("study stopped", study=study.hash(), error=type(error).__name__)
            raise
        self._append("study finished", study=study.hash())

    def asked(self, number: int, requests: Sequence[Request]) -> None:
        """A round is about to ask the sites."""
        self._append("asked", round=number, statistics=[request.id() for request in requests])

    def released(
        self,
        number: int,
        released: Mapping[str, Released],
        *,
        sites: Sequence[str],
        replayed: bool,
        set_aside: Sequence[SetAside] = (),
    ) -> None:
        """A round's totals are known, from the sites or from the journal; who is in none."""
        self._append(
            "replayed" if replayed else "released",
            round=number,
            sites=sorted(sites),
            **({"set_aside": [one.to_json() for one in set_aside]} if set_aside else {}),
            digests={name: _digest(value) for name, value in sorted(released.items())},
        )

    def _append(self, event: str, **details: JsonValue) -> None:
        try:
            self.log.append(event, {"run": self.run, **details})
        except OSError as error:
            raise StorageError(
                f"{self.log.path}: the audit log cannot be written ({error.strerror}); free space "
                "or mend the disk, then resume the run: nothing goes on unwritten"
            ) from None


def _digest(released: Released) -> str:
    totals = released.totals.astype("<i8").tobytes()
    return sha256_hex(totals + released.withheld.astype("u1").tobytes())
