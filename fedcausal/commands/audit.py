"""`fedcausal audit`: check, read and export the audit log of a role."""

import json
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from fedcausal.console import WIDTH, Format, FormatOption, QuietOption, emit
from fedcausal.errors import InputError
from fedcausal_privacy.audit import GENESIS, AuditReport
from fedcausal_privacy.canonical import canonical_json, fingerprint, sha256_hex

__all__ = ["app", "check", "read_lines"]

AUDIT_FILE = "audit.jsonl"
EXPORT_FORMAT = "fedcausal-audit-1"

app = typer.Typer(no_args_is_help=True, add_completion=False)

LogArgument = Annotated[
    Path, typer.Argument(help="A role's home folder, its audit.jsonl, or an exported log.")
]


@app.callback()
def group() -> None:
    """Check, read and export the audit log of a role."""


@app.command()
def verify(
    log: LogArgument,
    key: Annotated[
        str, typer.Option(help="The fingerprint that must have signed, of `fedcausal key show`.")
    ] = "",
    contains: Annotated[
        str, typer.Option(help="A hash that an earlier verify printed: it must still be there.")
    ] = "",
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Find any line that was changed, removed, inserted or cut off."""
    report = check(log, contains=contains)
    signer = _signer(report)
    if key and key != signer:
        raise InputError(
            f"{log}: expected the signature of {key}, got {signer or 'none'}; compare with "
            "`fedcausal key show`"
        )
    data = {
        "lines": report.lines,
        "head": report.head,
        "signed_by": signer,
        "behind": report.behind,
    }
    lines = [f"{log}: {report.lines} lines, the chain is whole"]
    lines.append(f"signed by {signer}" if signer else "not signed")
    if report.behind:
        lines.append("the last line is not under the signature: the role stopped in between")
    emit(data, [report.head] if quiet else [*lines, f"head {report.head}"], output)


@app.command()
def tail(
    log: LogArgument,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many.")] = (20),
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Show the last lines: when, what, and the details."""
    entries = [_entry(line) for line in read_lines(log)[-lines:]]
    shown = [row for entry in entries for row in _shown(entry, brief=quiet)]
    emit({"entries": entries}, shown, output)


@app.command()
def export(
    log: LogArgument,
    out: Annotated[Path, typer.Option(help="The file to write, for somebody else to verify.")],
    output: FormatOption = Format.TEXT,
    quiet: QuietOption = False,
) -> None:
    """Write a checked log and its signed head into one file."""
    from fedcausal_privacy.audit_head import read_head

    report, path = check(log), _log_file(log)
    if out.exists():
        raise InputError(f"--out {out}: the file exists; name another one or remove it")
    head = read_head(path)
    content = {
        "format": EXPORT_FORMAT,
        "head": None if head is None else head.to_json(),
        "lines": [line.decode() for line in read_lines(path)],
    }
    out.write_bytes(canonical_json(content) + b"\n")
    wrote = f"wrote {out}: {report.lines} lines, signed by {_signer(report) or 'nobody'}"
    emit({"path": str(out), "lines": report.lines}, [] if quiet else [wrote], output)


def check(log: Path, *, contains: str = "") -> AuditReport:
    """Check a home folder's log, a log file or an exported log.

    Raises
    ------
    InputError, ProtocolError
        There is no such log; it was changed.
    """
    from fedcausal_privacy.audit import AuditLog, check_chain
    from fedcausal_privacy.audit_head import AuditHead

    exported = _exported(log)
    if exported is None:
        path = _log_file(log)
        if any("party" in _entry(line) for line in read_lines(path)[:1]):
            raise InputError(
                f"{path}: this is a copy of several parties' lines, made for reading; verify "
                "each party's own log"
            )
        return AuditLog(path=path).check(contains=contains or GENESIS)
    head = exported.get("head")
    return check_chain(
        read_lines(log),
        None if head is None else AuditHead.from_json(head),
        name=log.name,
        contains=contains or GENESIS,
    )


def read_lines(log: Path) -> list[bytes]:
    """The lines of a log or of an exported log, unchecked."""
    from fedcausal_privacy.audit import AuditLog

    exported = _exported(log)
    if exported is None:
        return AuditLog(path=_log_file(log)).lines()
    lines = exported.get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise InputError(f"{log}: expected an exported audit log; export it again")
    return [line.encode() for line in lines]


def _exported(log: Path) -> dict[str, Any] | None:
    """The content of an exported log, None for anything else."""
    if not log.is_file():
        return None
    try:
        content = json.loads(log.read_bytes())
    except (ValueError, RecursionError):
        return None
    is_export = isinstance(content, dict) and content.get("format") == EXPORT_FORMAT
    return content if is_export else None


def _log_file(log: Path) -> Path:
    path = log / AUDIT_FILE if log.is_dir() else log
    if not path.is_file():
        raise InputError(f"{path}: there is no audit log; name a role's home folder")
    return path


def _signer(report: AuditReport) -> str:
    """The fingerprint of the key, as `fedcausal key show` prints it."""
    return fingerprint(sha256_hex(bytes.fromhex(report.signed_by))) if report.signed_by else ""


def _entry(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {"event": "unreadable", "details": {}}


def _shown(entry: dict[str, Any], *, brief: bool) -> list[str]:
    when = str(entry.get("time", "")).removesuffix("+00:00")
    first = f"{when}  {entry.get('event', '')}"
    if brief:
        return [first]
    details = json.dumps(entry.get("details", {}), ensure_ascii=False)
    more = wrap(details, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return [first, *(more if details != "{}" else [])]
