import pytest

from fedcausal_privacy.audit_head import AuditHead, head_path, read_head, write_head
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity

HEAD = AuditHead.sign(Identity.generate(), lines=3, digest="ab" * 32)


def test_a_head_comes_back_as_it_was(tmp_path):
    log = tmp_path / "audit.jsonl"
    assert read_head(log) is None
    write_head(log, HEAD)
    assert read_head(log) == HEAD
    assert HEAD.is_genuine()
    assert head_path(log).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["audit.head"]


@pytest.mark.parametrize("change", [{"lines": 4}, {"digest": "cd" * 32}, {"signature": "00" * 64}])
def test_a_changed_head_is_not_genuine(change):
    assert not AuditHead.from_json({**HEAD.to_json(), **change}).is_genuine()


@pytest.mark.parametrize("value", [None, [], {}, {**HEAD.to_json(), "lines": "3"}, {"lines": 1}])
def test_what_is_no_head_is_refused(value):
    with pytest.raises(ProtocolError, match="cannot be read"):
        AuditHead.from_json(value)
