import errno
import io
import json
import os
from pathlib import Path

import pytest

from fedcausal_clients.audit import GENESIS, MAX_REASON, AuditLog
from fedcausal_privacy.errors import ProtocolError


def written(tmp_path: Path, lines: int = 5) -> AuditLog:
    log = AuditLog(path=tmp_path / "audit.jsonl")
    for i in range(lines):
        log.append("release", {"number": i})
    return log


def test_empty_log_is_whole(tmp_path):
    log = AuditLog(path=tmp_path / "audit.jsonl")
    assert log.verify() == 0
    assert log.head() == GENESIS


def test_lines_are_chained(tmp_path):
    log = written(tmp_path)
    assert log.verify() == 5
    assert log.path.stat().st_mode & 0o777 == 0o600
    lines = log.path.read_text().splitlines()
    assert [json.loads(line)["details"]["number"] for line in lines] == list(range(5))


@pytest.mark.parametrize("victim", range(4))
@pytest.mark.parametrize("attack", ["change", "remove", "swap", "insert"])
def test_every_change_inside_breaks_the_chain(tmp_path, victim, attack):
    log = written(tmp_path)
    lines = log.path.read_bytes().splitlines()
    if attack == "change":
        lines[victim] = lines[victim].replace(b'"release"', b'"refusal"')
    elif attack == "remove":
        del lines[victim]
    elif attack == "swap":
        lines[victim], lines[victim + 1] = lines[victim + 1], lines[victim]
    else:
        lines.insert(victim, lines[victim + 1])
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ProtocolError, match="chain is broken"):
        log.verify()


def test_cut_end_is_seen_against_a_noted_head(tmp_path):
    log = written(tmp_path)
    noted = log.head()
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-1]))
    assert log.verify() == 4
    with pytest.raises(ProtocolError, match="lines are missing"):
        log.verify(contains=noted)


def test_torn_last_line_is_dropped_by_the_next(tmp_path):
    log = written(tmp_path)
    with log.path.open("ab") as file:
        file.write(b'{"details": {"num')
    assert log.verify() == 5
    log.append("release", {"number": 5})
    assert log.verify() == 6


def test_an_endless_line_is_refused(tmp_path):
    with pytest.raises(ProtocolError, match="exceeds"):
        written(tmp_path).append("release", {"x": "y" * 2**16})


def test_a_reason_that_somebody_made_long_is_cut_and_written(tmp_path):
    """Too long for a line, it would leave no line at all of what was refused."""
    log = written(tmp_path, 1)
    log.note("reason", "x" * 100_000, code="protocol")
    assert log.verify() == 2
    details = json.loads(log.path.read_text().splitlines()[-1])["details"]
    assert details["code"] == "protocol"
    assert len(details["reason"]) == MAX_REASON + 3


def test_a_line_that_the_disk_takes_half_of_lets_nothing_leave(tmp_path, monkeypatch):
    log = written(tmp_path, 1)

    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        def fileno(self):
            return 0

    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: os.close(descriptor) or Full())
    with pytest.raises(OSError, match="No space"):
        log.append("released", {})
