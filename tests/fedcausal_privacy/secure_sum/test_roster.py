"""The roster hash binds manifest, attempt and every key in its place."""

from dataclasses import replace

import pytest

from fedcausal_privacy.envelopes import ignore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.roster import (
    check_advertisements,
    check_freezes,
    check_trusted,
    roster_hash,
    smallest_atom,
)


def test_the_hash_changes_with_everything_it_binds(agreed):
    manifest = agreed.aggregator.manifest
    keys = [b"1", b"2", b"3"]
    hashes = {
        roster_hash(manifest, attempt=1, keys=keys),
        roster_hash(manifest, attempt=2, keys=keys),
        roster_hash(manifest, attempt=1, keys=keys[::-1]),
        roster_hash(replace(manifest, study_hash="1" * 64), attempt=1, keys=keys),
    }
    assert len(hashes) == 4


def test_advertisements_and_freezes_of_one_run_verify_and_of_another_attempt_do_not(agreed):
    state = agreed.aggregator
    keys = check_advertisements(state.manifest, state.advertisements, attempt=1, on_refusal=ignore)
    assert keys == agreed.sites["b"].peers
    expected = roster_hash(state.manifest, attempt=1, keys=keys)
    check_freezes(
        state.manifest, state.freezes, attempt=1, roster_hash=expected, on_refusal=ignore
    )
    with pytest.raises(ProtocolError):
        check_advertisements(state.manifest, state.advertisements, attempt=2, on_refusal=ignore)
    for attempt, roster in ((2, expected), (1, "ab" * 32)):
        with pytest.raises(ProtocolError):
            check_freezes(
                state.manifest,
                state.freezes,
                attempt=attempt,
                roster_hash=roster,
                on_refusal=ignore,
            )


@pytest.mark.parametrize(
    ("rosters", "size"),
    [
        (["abc"], 3),
        (["abcd", "abcd"], 4),
        (["abcd", "abc"], 1),
        (["abcdef", "abc"], 3),
        # No two of these differ by fewer than three sites, and yet they show "g".
        (["abc", "def", "abcdefg"], 1),
    ],
)
def test_atoms_are_what_differences_of_totals_can_show(rosters, size):
    assert smallest_atom(set(roster) for roster in rosters) == size


def test_trust_names_every_party(agreed):
    manifest = agreed.aggregator.manifest
    known = {p.name: p.identity for p in (*manifest.roster, manifest.steward)}
    check_trusted(manifest, None, ignore)
    check_trusted(manifest, known, ignore)
    for name in known:
        fewer = {k: v for k, v in known.items() if k != name}
        with pytest.raises(ProtocolError):
            check_trusted(manifest, fewer, ignore)
