import pytest

from fedcausal_privacy.roster_overlap import exposed_sites


@pytest.mark.parametrize(
    ("rosters", "exposed"),
    [
        (["abc"], ""),
        (["abc", "abc"], ""),
        (["abcd", "abc"], "d"),
        (["abcde", "abc"], "de"),
        (["abcdef", "abc"], ""),
        (["abc", "ade"], ""),
        (["abc", "def", "abcdefg"], "g"),
        (["abcd", "abef", "cdef"], "ab"),
        (["abcd", "bcde"], "ae"),
        ([], ""),
    ],
)
def test_what_follows_from_totals_over_rosters(rosters, exposed):
    assert exposed_sites([set(r) for r in rosters], fewest=3) == frozenset(exposed)


def test_the_more_sites_must_stay_together_the_less_is_allowed():
    rosters = [set("abcdef"), set("abc")]
    assert exposed_sites(rosters, fewest=3) == frozenset()
    assert len(exposed_sites(rosters, fewest=4)) == 3


def test_with_very_many_cells_small_ones_count_as_exposed():
    everyone = {f"s{i}" for i in range(70)}
    rosters = [everyone - {f"s{i}"} for i in range(70)]
    assert len(exposed_sites(rosters, fewest=3)) == 1
