"""What the aggregator passes on: to each steward what it needs, and nothing else."""

from dataclasses import replace

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.bfv import most_bytes
from fedcausal_privacy.secure_sum.passing_on import checked_upload, seeds_of, without_seeds


def test_the_second_steward_sees_no_ciphertext_and_the_steward_no_seed(recorded_pads):
    to_second = recorded_pads.messages["query.pads", "second-steward"]
    assert set(to_second.blobs) == {"context", "seed/gram/a", "seed/gram/b", "seed/gram/c"}
    to_first = recorded_pads.decrypt
    assert set(to_first.blobs) == {
        "ciphertext/gram/a",
        "ciphertext/gram/b",
        "ciphertext/gram/c",
        "pads/gram",
    }


def test_masked_rounds_have_no_seeds(recorded):
    assert set(recorded.decrypt.blobs) == {f"ciphertext/gram/{site}" for site in "abc"}
    reply = recorded.replies["query.upload", "a"]
    assert seeds_of(recorded.pool.aggregator, "a", reply) == {}


def test_what_is_kept_of_an_upload(recorded_pads):
    reply = recorded_pads.replies["query.upload", "a"]
    kept = without_seeds(reply, "a")
    assert set(kept.blobs) == {"ciphertext/gram"}
    assert set(kept.header) == {"envelopes", "site"}
    seeds = seeds_of(recorded_pads.pool.aggregator, "a", reply)
    assert set(seeds["a"].blobs) == {"seed/gram"}


def test_later_rounds_bring_the_signed_roster_of_the_one_before(
    recorded_pads, contributions, recording
):
    after = recorded_pads.before["end", ""]
    later = recording(after, contributions)
    request = later.messages["query.upload", "a"]
    assert request.header["released"] == ["a", "b", "c"]
    known = later.before["end", ""].sites["a"].released
    assert [set(entry.members) for entry in known] == [{"a", "b", "c"}]


@pytest.mark.parametrize(
    ("blobs", "reason"),
    [
        ({"ciphertext/other": b"x"}, "other blobs"),
        ({"seed/other": b"x" * 112}, "other blobs"),
        ({"anything": b""}, "other blobs"),
        ({"seed/gram": bytes(113)}, "larger"),
        ({"ciphertext/gram": bytes(most_bytes(8) + 1)}, "larger"),
    ],
)
def test_a_site_cannot_fill_the_aggregators_memory(recorded_pads, blobs, reason):
    """What comes with an upload is kept until the round ends, for every site."""
    state = recorded_pads.before["query.upload", "a"].aggregator
    reply, reasons = recorded_pads.replies["query.upload", "a"], []
    checked_upload(state, "a", reply, reasons.append)
    with pytest.raises(ProtocolError):
        checked_upload(state, "a", replace(reply, blobs={**reply.blobs, **blobs}), reasons.append)
    assert len(reasons) == 1
    assert reason in reasons[0]
