import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from fedcausal_privacy.audit import GENESIS, MAX_REASON, AuditLog
from fedcausal_privacy.audit_head import head_path
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity

LINES = 12
IDENTITY = Identity.generate()


def written(folder: Path, lines: int = 5, signer: Identity | None = None) -> AuditLog:
    log = AuditLog(path=folder / "audit.jsonl", signer=signer)
    for i in range(lines):
        log.append("release", {"number": i})
    return log


@pytest.fixture
def signed(tmp_path):
    return written(tmp_path, LINES, IDENTITY)


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


def test_cut_end_of_an_unsigned_log_is_seen_against_a_noted_head(tmp_path):
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


def test_a_signed_log_says_who_signed_it(signed):
    report = signed.check(public=IDENTITY.public)
    assert (report.lines, report.signed_by, report.behind) == (LINES, IDENTITY.public, 0)
    with pytest.raises(ProtocolError, match="another key"):
        signed.check(public=Identity.generate().public)


def flip(lines, i):
    line = bytearray(lines[i])
    line[len(line) // 2] ^= 1
    return [*lines[:i], bytes(line), *lines[i + 1 :]]


ATTACKS = {
    "flip": flip,
    "delete": lambda lines, i: lines[:i] + lines[i + 1 :],
    "insert": lambda lines, i: [*lines[:i], lines[-1 - i], *lines[i:]],
    "cut": lambda lines, i: lines[:i],
    "cut inside": lambda lines, i: [*lines[:i], lines[i][: len(lines[i]) // 2]],
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_a_change_of_any_line_is_found(signed, attack):
    whole = signed.path.read_bytes().splitlines()
    for i in range(LINES):
        changed = ATTACKS[attack](whole, i)
        signed.path.write_bytes(b"".join(line + b"\n" for line in changed))
        with pytest.raises(ProtocolError):
            signed.check()
    signed.path.write_bytes(b"".join(line + b"\n" for line in whole))
    assert signed.verify() == LINES


def test_every_bit_of_the_last_line_is_under_the_signature(signed):
    whole = signed.path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for position in range(start, len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            signed.path.write_bytes(changed)
            with pytest.raises(ProtocolError):
                signed.check()


def test_a_chain_that_was_written_anew_is_found(tmp_path, signed):
    head = head_path(signed.path).read_bytes()
    forger = Identity.generate()
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other", LINES + 1, forger)
    signed.path.write_bytes(other.path.read_bytes())
    with pytest.raises(ProtocolError, match="written anew"):
        signed.check()
    head_path(signed.path).write_bytes(head_path(other.path).read_bytes())
    assert signed.check().signed_by == forger.public
    with pytest.raises(ProtocolError, match="another key"):
        signed.check(public=IDENTITY.public)
    head_path(signed.path).write_bytes(head)
    with pytest.raises(ProtocolError, match="written anew"):
        signed.check(public=IDENTITY.public)


def test_a_replaced_or_removed_head_is_found(tmp_path):
    log = written(tmp_path, LINES - 2, IDENTITY)
    old = head_path(log.path).read_bytes()
    log.append("release", {})
    log.append("release", {})
    new = json.loads(head_path(log.path).read_bytes())
    for content in (
        old,
        b"",
        b"[]",
        b"[" * 10**5,
        json.dumps({**new, "lines": LINES - 1}).encode(),
        json.dumps({**new, "lines": True}).encode(),
        json.dumps({**new, "digest": "0" * 64}).encode(),
        json.dumps({**new, "public": Identity.generate().public}).encode(),
        json.dumps({**new, "signature": "no"}).encode(),
    ):
        head_path(log.path).write_bytes(content)
        with pytest.raises(ProtocolError):
            log.check()
    head_path(log.path).unlink()
    with pytest.raises(ProtocolError, match="head is missing"):
        log.check()


def test_a_crash_before_the_head_is_no_alarm_and_is_mended(tmp_path):
    log = written(tmp_path, 3, IDENTITY)
    before = head_path(log.path).read_bytes()
    log.append("release", {"number": 3})
    head_path(log.path).write_bytes(before)
    assert log.check(public=IDENTITY.public).behind == 1
    log.append("release", {"number": 4})
    assert (log.check().lines, log.check().behind) == (5, 0)


def test_the_next_line_does_not_cover_a_cut_up(signed):
    lines = signed.path.read_bytes().splitlines(keepends=True)
    signed.path.write_bytes(b"".join(lines[:-2]))
    signed.append("release", {"number": 99})
    with pytest.raises(ProtocolError, match="had been changed or cut off"):
        signed.check()
    signed.append("release", {"number": 100})
    with pytest.raises(ProtocolError, match="had been changed or cut off"):
        signed.check()


def test_a_head_that_cannot_be_read_is_noted_for_ever(signed):
    head_path(signed.path).write_bytes(b"nonsense")
    signed.append("release", {"number": 99})
    with pytest.raises(ProtocolError, match="had been changed or cut off"):
        signed.check()


def test_an_unsigned_line_is_refused_in_a_signed_log(signed):
    with pytest.raises(ProtocolError, match="this log is signed"):
        AuditLog(path=signed.path).append("release", {})
    assert signed.verify(public=IDENTITY.public) == LINES


def write_many(path, start):
    log = AuditLog(path=path, signer=IDENTITY)
    for i in range(start, start + 25):
        log.append("release", {"number": i})


def test_two_writers_at_once_make_one_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=write_many, args=(path, 100 * i)) for i in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    log = AuditLog(path=path)
    assert log.check(public=IDENTITY.public).lines == 50
    numbers = [json.loads(line)["details"]["number"] for line in log.lines()]
    assert sorted(numbers) == [*range(25), *range(100, 125)]


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
    write, taken = os.write, []

    def half(descriptor, content):
        if taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken.append(write(descriptor, content[: len(content) // 2]))
        return taken[0]

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        log.append("released", {})
    monkeypatch.undo()
    assert log.verify() == 1
    log.append("released", {})
    assert log.verify() == 2
