"""What a command prints: lines for people, one JSON envelope for programs."""

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

__all__ = ["WIDTH", "Format", "FormatOption", "QuietOption", "emit", "fail", "table"]

SCHEMA_VERSION = 1
WIDTH = 80
MIN_LAST_COLUMN = 20


class Format(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="Answer in lines for people or in one JSON object.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the answer.")]


def emit(
    data: Mapping[str, Any], lines: Sequence[str], output: Format, *, exit_code: int = 0
) -> None:
    """Print an answer: `lines` for people, or `data` inside the JSON envelope.

    `exit_code` is the one that the command will end with: an answer may be bad news.
    """
    if output is Format.JSON:
        envelope = {
            "schema_version": SCHEMA_VERSION,
            "status": "error" if exit_code else "ok",
            "exit_code": exit_code,
            "data": data,
        }
        typer.echo(json.dumps(envelope, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            typer.echo(line)


def fail(message: str, exit_code: int, *, as_json: bool, kind: str = "Error") -> int:
    """Print an error where it belongs (standard error, or the JSON envelope); return the code."""
    if as_json:
        envelope = {
            "schema_version": SCHEMA_VERSION,
            "status": "error",
            "exit_code": exit_code,
            "error_code": kind,
            "message": message,
        }
        sys.stdout.write(json.dumps(envelope, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"error: {message}\n")
    return exit_code


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 2) -> list[str]:
    """A plain table whose columns are as wide as they must be; the last one wraps at 80.

    >>> table(["site", "rows"], [["a", "10"]], indent=0)
    ['site  rows', 'a     10']
    """
    grid = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in grid) for i in range(len(header))]
    lines = []
    start = indent + sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(WIDTH - start, MIN_LAST_COLUMN)
    for row in grid:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        first, *more = textwrap.wrap(row[-1], room, break_long_words=False) or [""]
        lines.append((" " * indent + "  ".join([*cells, first])).rstrip())
        lines += [" " * start + line for line in more]
    return lines
