import json

import numpy as np
import pytest

from fedcausal.errors import DisclosureError, ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.statistic_spec import Released
from fedcausal_server.run_audit import AUDIT_CHOICE, RunAudit, log_of_run, signed_log

STUDY = Study.model_validate({"variables": {"a": {"kind": "binary"}, "b": {"kind": "binary"}}})
TOTAL = Released(totals=np.array([271828]), withheld=np.array([False]))
GRAM = Request(kind="gram")


def events(log):
    return [(line["event"], line["details"]) for line in map(json.loads, log.lines())]


def test_a_run_from_its_begin_to_its_end(tmp_path):
    identity = Identity.generate()
    log = AuditLog(path=tmp_path / "audit.jsonl", signer=identity)
    record = RunAudit.open(log, tmp_path / "nowhere", "run1")
    with record.study(STUDY, sites=("north", "south", "west"), stewards=("keys", "")):
        record.asked(1, [GRAM])
        record.released(1, {GRAM.id(): TOTAL}, sites=("west", "north"), replayed=False)
        record.released(2, {GRAM.id(): TOTAL}, sites=("north",), replayed=True)
    names = [name for name, _ in events(log)]
    assert names == ["study began", "asked", "released", "replayed", "study finished"]
    details = dict(events(log))
    assert details["study began"]["stewards"] == ["keys"]
    assert details["asked"]["statistics"] == [GRAM.id()]
    assert details["released"]["sites"] == ["north", "west"]
    assert {line["run"] for _, line in events(log)} == {"run1"}
    assert b"271828" not in log.path.read_bytes()
    assert log.verify(public=identity.public) == 5


@pytest.mark.parametrize(
    ("error", "event"), [(DisclosureError("secret"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_how_a_run_ended_is_written_without_words(tmp_path, error, event):
    record = RunAudit.open(None, tmp_path, "run1")
    with pytest.raises(type(error)), record.study(STUDY, sites=("a",), stewards=()):
        raise error
    name, details = events(record.log)[-1]
    assert (name, details["error"]) == (f"study {event}", type(error).__name__)
    assert b"secret" not in record.log.path.read_bytes()
    assert record.log.path == tmp_path / "audit.jsonl"


def test_a_deployed_run_has_a_log_that_its_coordinator_signed(coordinator_home, tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    assert log_of_run(workspace, tmp_path / "journal") is None
    key = {"key": str(coordinator_home.audit_key)}
    (workspace / AUDIT_CHOICE).write_text(json.dumps(key))
    log = log_of_run(workspace, tmp_path / "journal")
    log.append("study began", {"sites": ["a"]})
    log_of_run(workspace, tmp_path / "journal").append("finished", {})
    public = Identity.load(coordinator_home.audit_key, None).public
    assert log.check(public=public).lines == 2
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(ProtocolError):
        log.check(public=public)


def test_a_log_that_was_begun_unsigned_stays_so(coordinator_home, tmp_path):
    AuditLog(path=tmp_path / "audit.jsonl").append("study began", {})
    log = signed_log(tmp_path / "audit.jsonl", coordinator_home.audit_key)
    log.append("finished", {})
    assert log.check().lines == 2
