import json

import pytest

from fedcausal.cli import main
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.identity import Identity

IDENTITY = Identity.generate()


@pytest.fixture
def home(tmp_path):
    log = AuditLog(path=tmp_path / "north" / "audit.jsonl", signer=IDENTITY)
    log.path.parent.mkdir()
    for i in range(30):
        log.append("released", {"kind": "query.upload", "bytes": i, "words": "a " * 40})
    return log.path.parent


def said(capsys, *arguments, code=0):
    assert main(["audit", *map(str, arguments)]) == code
    return capsys.readouterr()


def test_a_whole_log(home, capsys):
    out = said(capsys, "verify", home).out.splitlines()
    assert out[0].endswith("30 lines, the chain is whole")
    assert out[1] == f"signed by {IDENTITY.fingerprint()}"
    head = said(capsys, "verify", home, "--quiet").out.strip()
    assert out[2] == f"head {head}"
    said(capsys, "verify", home, "--key", IDENTITY.fingerprint(), "--contains", head)
    answer = json.loads(said(capsys, "verify", home, "--format", "json").out)["data"]
    assert (answer["lines"], answer["behind"], answer["head"]) == (30, 0, head)


def test_a_changed_log_is_a_failure_that_names_the_line(home, capsys):
    path = home / "audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7] + lines[8:]))
    assert "audit.jsonl:8: the chain is broken" in said(capsys, "verify", home, code=1).err


def test_another_signer_than_the_one_expected(home, capsys):
    other = Identity.generate().fingerprint()
    assert "expected the signature" in said(capsys, "verify", home, "--key", other, code=4).err


@pytest.mark.parametrize("command", ["verify", "tail"])
def test_no_log_is_a_plain_error(tmp_path, capsys, command):
    assert "there is no audit log" in said(capsys, command, tmp_path, code=4).err


def test_the_tail_fits_a_terminal(home, capsys):
    out = said(capsys, "tail", home, "-n", 3).out.splitlines()
    assert sum("released" in line for line in out) == 3
    assert max(map(len, out)) <= 80
    assert len(said(capsys, "tail", home, "-n", 3, "--quiet").out.splitlines()) == 3
    entries = json.loads(said(capsys, "tail", home, "--format", "json").out)["data"]["entries"]
    assert [entry["details"]["bytes"] for entry in entries] == list(range(10, 30))


def test_an_exported_log_can_be_verified_elsewhere(home, tmp_path, capsys):
    out = tmp_path / "north.json"
    said(capsys, "export", home, "--out", out)
    assert "30 lines" in said(capsys, "verify", out).out
    assert "the file exists" in said(capsys, "export", home, "--out", out, code=4).err
    content = json.loads(out.read_text())
    for change in ({"lines": content["lines"][:-1]}, {"head": {}}, {"lines": 3}, {"head": None}):
        out.write_text(json.dumps({**content, **change}))
        assert main(["audit", "verify", str(out)]) in (1, 4)
        assert "Traceback" not in capsys.readouterr().err


def test_a_runs_copy_of_several_logs_is_no_log(tmp_path, capsys):
    (tmp_path / "audit.jsonl").write_text('{"party": "north", "prev": ""}\n')
    assert "verify each party's own log" in said(capsys, "verify", tmp_path, code=4).err
