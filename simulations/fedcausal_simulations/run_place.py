"""Where a run's folder appears: whole, in a place of its own, or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedcausal.errors import InputError
from fedcausal.results.run import RESULT_FILE
from fedcausal.study import Study

__all__ = ["claimed", "new_run_folder", "publish", "scratch_folder"]

SCRATCH = ".fedcausal-"


def new_run_folder(study: Study, root: Path = Path("runs")) -> Path:
    """The next free folder `runs/<study name>-<n>`."""
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in study.study.name)
    number = 1
    while (root / f"{stem}-{number}").exists():
        number += 1
    return root / f"{stem}-{number}"


@contextmanager
def claimed(study: Study, out: str | Path | None) -> Iterator[Path]:
    """The run's own folder, empty; when the run fails, everything is as it was before."""
    folder, is_new = (_new(study), True) if out is None else _empty(Path(out))
    try:
        yield folder
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _new(study: Study) -> Path:
    """Make the next free folder; a run that starts at the same moment takes another one."""
    while True:
        folder, is_new = _empty(new_run_folder(study))
        if is_new:
            return folder


def _empty(folder: Path) -> tuple[Path, bool]:
    """An empty folder, and whether it had to be made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        return folder, True
    except FileExistsError:
        _check_empty(folder)
        return folder, False
    except OSError as error:
        raise InputError(
            f"--out {folder}: cannot be made ({error.strerror}); name another folder"
        ) from None


def _check_empty(folder: Path) -> None:
    if not folder.is_dir() or any(p for p in folder.iterdir() if not _is_scratch(p)):
        raise InputError(f"--out {folder}: expected a new or an empty folder; name another one")


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A private folder on the same disk: beside the run's folder, or in it where it must be."""
    beside = folder.resolve().parent
    inside = os.path.ismount(folder) or not os.access(beside, os.W_OK)
    place = folder if inside else beside
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=place) as name:
        yield Path(name)


def _is_scratch(path: Path) -> bool:
    return path.name.startswith(SCRATCH)


def publish(partial: Path, folder: Path) -> None:
    """Move a whole run to its place; the result comes last, for with it the run exists."""
    _check_empty(folder)
    for path in sorted(partial.iterdir(), key=lambda path: (path.name == RESULT_FILE, path.name)):
        path.rename(folder / path.name)
