"""`fedcausal doctor`: whether this machine is ready."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import typer

from fedcausal.console import Format, FormatOption, QuietOption, emit, table

__all__ = ["Finding", "app", "examine"]

PACKAGES = {
    "flwr": (1, 41),
    "torch": (2, 6),
    "opacus": (1, 6),
    "tenseal": (0, 3),
    "causal-learn": (0, 1),
    "numpy": (2, 0),
    "pyarrow": (20, 0),
    "duckdb": (1, 4),
    "psycopg": (3, 2),
}
FLOWER_SWITCHES = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
FREE_DISK_GIB = 1
# No machine that runs this version has seen an earlier day, unless its clock is wrong.
RELEASED = datetime(2026, 1, 1, tzinfo=UTC)

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: `status` is ok, warning or failed."""

    check: str
    status: Literal["ok", "warning", "failed"]
    detail: str


def examine() -> list[Finding]:
    """Look at everything a study needs on this machine; nothing is changed."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        _python,
        _packages,
        _flower_switches,
        _disk,
        _clock,
        _accelerator,
        _encryption,
    )
    return [finding for check in checks for finding in check()]


def _python() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    status: Literal["ok", "failed"] = "ok" if sys.version_info >= (3, 11) else "failed"
    return [Finding(check="python", status=status, detail=version)]


def _packages() -> list[Finding]:
    return [_package(name, lowest) for name, lowest in PACKAGES.items()]


def _package(name: str, lowest: tuple[int, int]) -> Finding:
    wanted = ".".join(map(str, lowest))
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(check=name, status="failed", detail=f"not installed; needs >= {wanted}")
    found = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    if found < lowest:
        return Finding(check=name, status="failed", detail=f"{version}; needs >= {wanted}")
    return Finding(check=name, status="ok", detail=version)


def _flower_switches() -> list[Finding]:
    """Our launchers set these themselves; Flower's own commands need them in the environment."""
    unset = [f"{k}={v}" for k, v in FLOWER_SWITCHES.items() if os.environ.get(k) != v]
    if not unset:
        return [Finding(check="flower telemetry", status="ok", detail="off")]
    detail = "off in fedcausal; for flwr itself: export " + " ".join(unset)
    return [Finding(check="flower telemetry", status="warning", detail=detail)]


def _disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    writable = os.access(Path.cwd(), os.W_OK)
    status: Literal["ok", "failed"] = "ok" if writable and free >= FREE_DISK_GIB else "failed"
    detail = f"{free:.0f} GiB free here" if writable else "this folder cannot be written"
    return [Finding(check="disk", status=status, detail=detail)]


def _clock() -> list[Finding]:
    """Signatures and certificates compare times; without a network only nonsense can be seen."""
    now = datetime.now(UTC)
    said = now.strftime("%Y-%m-%d %H:%M UTC")
    if now < RELEASED:
        detail = f"{said} is before this version was made; set the clock"
        return [Finding(check="clock", status="failed", detail=detail)]
    return [Finding(check="clock", status="ok", detail=said)]


def _accelerator() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        return [Finding(check="accelerator", status="ok", detail="none, models train on the CPU")]
    return [Finding(check="accelerator", status="ok", detail=torch.cuda.get_device_name(0))]


def _encryption() -> list[Finding]:
    """A sum of two encrypted vectors, decrypted: the exactness that everything rests on."""
    import numpy as np

    from fedcausal_privacy.secure_sum.bfv import BfvScheme

    scheme = BfvScheme()
    public, secret = scheme.generate_keys()
    vectors = (np.arange(8, dtype=np.uint64), np.arange(8, dtype=np.uint64)[::-1].copy())
    total = scheme.add(public, [scheme.encrypt(public, v) for v in vectors], length=8)
    exact = scheme.decrypt(secret, total, length=8).tolist() == [7] * 8
    status: Literal["ok", "failed"] = "ok" if exact else "failed"
    return [Finding(check="encryption", status=status, detail="BFV 4096, an exact sum of two")]


@app.command()
def doctor(output: FormatOption = Format.TEXT, quiet: QuietOption = False) -> None:
    """Check versions, disk, accelerator, encryption and that nothing phones home."""
    findings = examine()
    shown = [f for f in findings if f.status != "ok"] if quiet else findings
    rows = [(f.status, f.check, f.detail) for f in shown]
    data = {
        "findings": [{"check": f.check, "status": f.status, "detail": f.detail} for f in shown]
    }
    code = 1 if any(f.status == "failed" for f in findings) else 0
    emit(data, table(("", "check", "found"), rows) if rows else [], output, exit_code=code)
    if code:
        raise typer.Exit(code)
