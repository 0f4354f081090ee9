"""Several tables of the same records, together: linear programmes over the cells of them all.

Here an attacker takes everything that was released, of all tables and requests, as equations and
inequalities about one joint table that nobody saw, and asks for the least and largest value of
every count below `min_cell`. Three figures stand beside each other: with nothing but small counts
withheld, with the cell rule table by table, and with the examination of all tables together, which
leaves none. The figures are in docs/security.md and in decision 0044.
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

from fedcausal.statistics.tables_kind import TablesKind, _layout, tables_request
from fedcausal.study import Study
from fedcausal_privacy.disclosure import overlapping_tables
from fedcausal_privacy.disclosure.cell_rule import _primary, apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

MIN_CELL = 5
SETS = {size: list(combinations(range(4), size)) for size in (2, 3)}
SIZES = {
    "different": (2, 2, 3, 3),
    "group": (2, 2, 3, 2),
    "either": (2, 2, 2, 3),
    "merged": (2, 2, 4, 3),
    "nearly": (2, 2, 3, 2),
    "crossed": (2, 2, 4, 3),
}
STUDIES = {
    "different": range(4),
    "group": range(10),
    "either": range(100, 106),
    "merged": range(110, 118),
    "nearly": range(100, 104),
    "crossed": range(100, 106),
}


class Tables:
    """A request for the tables of some sets of four variables, and the joint table behind it."""

    def __init__(self, sizes, sets, before=()):
        names = [f"v{i}" for i in range(len(sizes))]
        levels = {
            name: {"kind": "categorical", "categories": [f"l{j}" for j in range(size)]}
            for name, size in zip(names, sizes, strict=True)
        }
        study = Study.model_validate({"variables": levels, "discovery": {"tests": "tables"}})
        named = [[names[i] for i in places] for places in sets]
        self.request = tables_request(named, before=[t.request for t in before])
        self.spec = TablesKind().spec(study, self.request, 3)
        self.layout = _layout(study, self.request)
        self.matrix = np.zeros((self.layout.length, int(np.prod(sizes))))
        codes = np.indices(sizes).reshape(len(sizes), -1)
        for places in self.layout.starts:
            entries = self.layout.entries(places)[tuple(codes[p] for p in places)]
            self.matrix[entries, np.arange(codes.shape[1])] = 1.0

    def released(self, joint, *, is_defended=True):
        totals = (self.matrix @ joint).astype(np.int64)
        if is_defended:
            return totals, apply_cell_rule(totals, self.spec)
        hidden = _primary(totals, self.spec)
        return totals, Released(totals=np.where(hidden, 0, totals), withheld=hidden)


def determined(joint, *requests, is_defended=True):
    """(small counts, how many of them have one possible value) of all requests together."""
    found = [tables.released(joint, is_defended=is_defended) for tables in requests]
    matrix = np.vstack([tables.matrix for tables in requests])
    totals = np.concatenate([totals for totals, _ in found])
    withheld = np.concatenate([released.withheld for _, released in found])
    marked = withheld & (np.concatenate([released.totals for _, released in found]) > 0)
    assert not ((totals > 0) & (totals < MIN_CELL) & ~withheld).any()
    known = {
        "A_eq": matrix[~withheld],
        "b_eq": totals[~withheld],
        "A_ub": np.vstack([matrix[marked], -matrix[marked]]),
        "b_ub": np.repeat([MIN_CELL - 1.0, -1.0], int(marked.sum())),
    }
    small = np.flatnonzero((totals > 0) & (totals < MIN_CELL))
    # Whole counts have one value where the width is below 1, not only where it is 0.
    widths = [width_of(matrix[cell], known) for cell in small]
    return len(small), sum(width < 1.0 - 1e-6 for width in widths)


def width_of(cell, known):
    """The largest less the least value that a count can have; fewer inequalities make it wider."""
    low, high = (linprog(sign * cell, method="highs", **known) for sign in (1.0, -1.0))
    return np.inf if high.status else -high.fun - low.fun


def joint_table(kind, seed):
    """Some dozen records of four variables that depend on each other."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(25, 120))
    a = rng.integers(0, 2, n)
    b = (a + (rng.random(n) < 0.3)) % 2
    c = np.where(rng.random(n) < 0.3, b, rng.choice(3, n, p=[0.15, 0.35, 0.5]))
    if kind == "group":
        d = c == 2
    elif kind == "different":
        d = (c + rng.choice(3, n, p=[0.5, 0.3, 0.2])) % 3
    elif kind == "nearly":
        d = (c == 2) ^ (rng.random(n) < 0.08)
    elif kind == "either":
        a, b = (rng.random((2, n)) < [[0.12], [0.2]]).astype(int)
        c = a | b
        d = (c + rng.choice(3, n, p=[0.5, 0.3, 0.2])) % 3
    else:
        c = rng.choice(4, n, p=[0.1, 0.2, 0.3, 0.4])
        d = np.array([[0, 0, 1, 2], [0, 0, 1, 1]][kind == "crossed"])[c]
        if kind == "crossed":
            d = np.where((c == 3) & (rng.random(n) < 0.3), 2, d)
    joint = np.zeros(SIZES[kind], dtype=np.int64)
    np.add.at(joint, (a, b, c, d.astype(np.int64)), 1)
    return joint.ravel()


def figures(kind, size, **options):
    """(small counts, determined ones) over some studies."""
    tables = Tables(SIZES[kind], SETS[size])
    found = [determined(joint_table(kind, seed), tables, **options) for seed in STUDIES[kind]]
    return tuple(int(total) for total in np.sum(found, axis=0))


@pytest.fixture
def table_by_table(monkeypatch):
    """The cell rule without the examination of all tables together."""
    monkeypatch.setattr(overlapping_tables, "_has_gaps", lambda *_: False)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", SIZES)
def test_all_tables_together_determine_no_small_count(kind, size):
    small, found = figures(kind, size)
    assert small > 0
    assert found == 0


@pytest.mark.parametrize(("kind", "size"), [("different", 2), ("different", 3), ("group", 3)])
def test_without_partners_nearly_all_are_determined(kind, size):
    small, found = figures(kind, size, is_defended=False)
    assert found > 0.8 * small


@pytest.mark.parametrize(
    ("kind", "size", "least"),
    [
        ("group", 2, 1),
        ("group", 3, 5),
        ("either", 3, 5),
        ("merged", 2, 3),
        ("merged", 3, 4),
        ("crossed", 2, 8),
        ("crossed", 3, 18),
    ],
)
@pytest.mark.usefixtures("table_by_table")
def test_table_by_table_some_are_determined_where_variables_follow_from_others(kind, size, least):
    small, found = figures(kind, size)
    assert least <= found < small


@pytest.mark.parametrize("kind", ["group", "merged", "crossed"])
def test_requests_that_name_those_before_determine_nothing_together(kind):
    """Each examined with those before it, which show again what they showed."""
    for seed in STUDIES[kind][:3]:
        joint, before = joint_table(kind, seed), list[Tables]()
        for sets in (SETS[2], [(0, 1, 2)], [(0, 1, 3), (1, 2, 3)]):
            before.append(Tables(SIZES[kind], sets, before))
        assert determined(joint, *before)[1] == 0
        assert_alike(joint, *before)


@pytest.mark.parametrize(("kind", "seed"), [("either", 100), ("either", 103), ("crossed", 32)])
def test_counts_that_were_known_before_they_are_asked_for_do_not_withhold_the_rest(kind, seed):
    """What released tables say of a count that nobody has asked for, nothing later can hide.

    Whoever has "either" and not "the first" has the second alone. Of "crossed" 32 one count of all
    four variables is known when its table is asked for, by equations and not by bounds: an
    examination that tried to hide it would never end.
    """
    joint, before = joint_table(kind, seed), list[Tables]()
    for sets in (SETS[2], [(0, 1, 2), (0, 2, 3)], [(0, 1, 2, 3)]):
        before.append(Tables(SIZES[kind], sets, before))
    assert determined(joint, *before)[1] > 0
    assert_alike(joint, *before)


def test_requests_that_do_not_name_each_other_determine_some():
    """What a site refuses (`tables-left-out`) and the steward could not see."""
    apart = [Tables(SIZES["crossed"], [places]) for places in SETS[2]]
    found = [determined(joint_table("crossed", seed), *apart) for seed in STUDIES["crossed"]]
    assert sum(number for _, number in found) > 5


def assert_alike(joint, *requests):
    """Whatever a request shows of a table, the requests after it show the same."""
    for first, second in combinations(requests, 2):
        (_, one), (_, two) = first.released(joint), second.released(joint)
        for places in first.layout.starts:
            for array in ("withheld", "totals"):
                shown = first.layout.view(places, getattr(one, array))
                again = second.layout.view(places, getattr(two, array))
                assert np.array_equal(shown, again)
