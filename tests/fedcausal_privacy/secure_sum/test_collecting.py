"""What a steward reads of the aggregator's messages, before it touches a ciphertext."""

import pytest

from fedcausal_privacy.envelopes import ignore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.collecting import checked_pads, checked_specs, collected


def test_uploads_are_read_in_full(recorded, recorded_pads):
    for round_ in (recorded, recorded_pads):
        manifest = round_.pool.aggregator.manifest
        empty, uploads = collected(round_.decrypt, manifest, ignore)
        assert sorted(upload.site for upload in uploads) == ["a", "b", "c"]
        assert (empty.round, empty.attempt, empty.kind) == (1, 1, "query.upload")
        assert (empty.roster_hash == "") == (manifest.mode == "two-steward")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "query.hello"},
        {"round": 2},
        {"specs": []},
        {"uploads": {"z": {}}},
        {"uploads": {"a": {}}},
        {"roster": None},
        {"freezes": []},
        {"attempt": 2},
    ],
)
def test_anything_else_is_refused(recorded, with_entries, change):
    manifest = recorded.pool.aggregator.manifest
    with pytest.raises(ProtocolError):
        collected(with_entries(recorded.decrypt, **change), manifest, ignore)


def test_a_statistic_is_named_once(recorded, spec, with_entries):
    manifest = recorded.pool.aggregator.manifest
    twice = with_entries(recorded.decrypt, specs=[spec.to_json()] * 2)
    with pytest.raises(ProtocolError):
        checked_specs(twice, manifest, ignore)
    assert checked_specs(recorded.decrypt, manifest, ignore) == (spec,)


def test_pads_belong_to_exactly_the_uploads_in_the_sum(recorded_pads, recorded, spec):
    manifest = recorded_pads.pool.aggregator.manifest
    empty, uploads = collected(recorded_pads.decrypt, manifest, ignore)
    context = recorded_pads.pool.aggregator.public_context
    whole = empty.add(uploads, public_context=context)
    pads, _ = checked_pads(recorded_pads.decrypt, manifest, whole, spec, ignore)
    assert pads == recorded_pads.replies["query.pads", "second-steward"].blobs["pads/gram"]
    part = empty.add(uploads[:2], public_context=context)
    with pytest.raises(ProtocolError):
        checked_pads(recorded_pads.decrypt, manifest, part, spec, ignore)
    with pytest.raises(ProtocolError):
        checked_pads(recorded_pads.decrypt, recorded.pool.aggregator.manifest, whole, spec, ignore)
