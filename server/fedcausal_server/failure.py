"""Why a run failed, from the process that ran it to the one that tells the operator."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcausal import errors
from fedcausal.errors import FedCausalError
from fedcausal_privacy.canonical import canonical_json
from fedcausal_server.store.journal import write_whole

__all__ = ["forget_failure", "note_failure", "noted_failure", "read_failure"]

FAILURE_FILE = "failure.json"


@contextmanager
def noted_failure(workspace: Path) -> Iterator[None]:
    """Write a foreseen error into the workspace and let it pass on.

    Flower keeps of an exception its text alone; the operator's command needs the exit code.
    """
    try:
        yield
    except FedCausalError as error:
        if workspace.is_dir():
            note_failure(workspace, error)
        raise


def note_failure(workspace: Path, error: FedCausalError) -> None:
    """Write down why a run failed, for `read_failure`."""
    content = {"kind": type(error).__name__, "message": str(error)}
    write_whole(workspace / FAILURE_FILE, canonical_json(content))


def forget_failure(workspace: Path) -> None:
    """A run begins again, or is ended on purpose: what it failed of before counts no more."""
    (workspace / FAILURE_FILE).unlink(missing_ok=True)


def read_failure(workspace: Path) -> FedCausalError | None:
    """The error that `noted_failure` wrote, of its own class; None when there is none."""
    try:
        content = json.loads((workspace / FAILURE_FILE).read_bytes())
        kind, message = str(content["kind"]), str(content["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = getattr(errors, kind, None) if kind in errors.__all__ else None
    found: type[FedCausalError] = known if known is not None else FedCausalError
    return found(message)
