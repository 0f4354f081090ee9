"""Atoms: what sums and differences of released totals can show."""

import pytest

from fedcausal_privacy.envelopes import ignore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.atoms import check_atoms, members_of, smallest_atom


@pytest.mark.parametrize(
    ("rosters", "size"),
    [
        ([], 0),
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


def members(names, version="1"):
    return dict.fromkeys(names, version)


@pytest.mark.parametrize(
    ("released", "roster", "is_allowed"),
    [
        ([], "abc", True),
        (["abc"], "abc", True),
        (["abc"], "def", True),
        (["abcd"], "abc", False),
        (["abc", "def"], "abcdefg", False),
        (["abc", "def"], "abcdefghi", True),
    ],
)
def test_a_roster_is_released_while_all_atoms_are_large(released, roster, is_allowed):
    reasons = []

    def check():
        earlier = [members(names) for names in released]
        check_atoms(earlier, members(roster), k_min=3, on_refusal=reasons.append)

    if is_allowed:
        check()
        return
    with pytest.raises(ProtocolError):
        check()
    assert "fewer than 3 sites" in reasons[0]


def test_totals_of_other_data_are_not_compared():
    roster = members("abc")
    check_atoms([members("abcd", "2")], roster, k_min=3, on_refusal=ignore)
    one_changed = {**members("abcd"), "a": "2"}
    check_atoms([one_changed], roster, k_min=3, on_refusal=ignore)
    other_site_changed = {**members("abc"), "z": "2"}
    with pytest.raises(ProtocolError):
        check_atoms([other_site_changed], roster, k_min=3, on_refusal=ignore)


def test_members_are_sites_with_the_versions_of_their_data(agreed):
    assert members_of(agreed.aggregator.manifest, ["a", "b"]) == {"a": "", "b": ""}
    with pytest.raises(ProtocolError):
        members_of(agreed.aggregator.manifest, ["z"])
