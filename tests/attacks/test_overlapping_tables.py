"""Several tables of the same records, together: linear programmes over the cells of them all.

The cell rule protects each table on its own. Here an attacker takes everything that was released,
of all tables, as equations and inequalities about one joint table that nobody saw, and asks for
the least and largest value of every count below `min_cell`. The figures are beside the undefended
ones, and in docs/security.md: among variables that say different things the rule holds; where one
variable is a function of another it does not.
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

from fedcausal.statistics.tables_kind import TablesKind, _layout, tables_request
from fedcausal.study import Study
from fedcausal_privacy.disclosure import _primary, apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

MIN_CELL = 5
SIZES = {"different": (2, 2, 3, 3), "nested": (2, 2, 3, 2)}
SETS = {size: list(combinations(range(4), size)) for size in (2, 3)}
NUM_STUDIES = {"different": 4, "nested": 10}


class Tables:
    """A request for the tables of some sets of four variables, and the joint table behind it."""

    def __init__(self, sizes, sets):
        names = [f"v{i}" for i in range(len(sizes))]
        levels = {
            name: {"kind": "categorical", "categories": [f"l{j}" for j in range(size)]}
            for name, size in zip(names, sizes, strict=True)
        }
        study = Study.model_validate({"variables": levels, "discovery": {"tests": "tables"}})
        request = tables_request([[names[i] for i in places] for places in sets])
        self.spec, self.layout = TablesKind().spec(study, request, 3), _layout(study, request)
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

    def determined(self, joint, *, is_defended=True):
        """(small counts, how many of them have one possible value)."""
        totals, released = self.released(joint, is_defended=is_defended)
        small = np.flatnonzero((totals > 0) & (totals < MIN_CELL))
        shown, marked = ~released.withheld, released.withheld & (released.totals > 0)
        known = {
            "A_eq": self.matrix[shown],
            "b_eq": totals[shown],
            "A_ub": np.vstack([self.matrix[marked], -self.matrix[marked]]),
            "b_ub": np.repeat([MIN_CELL - 1.0, -1.0], int(marked.sum())),
        }
        widths = [width_of(self.matrix[cell], known) for cell in small]
        return len(small), sum(width < 0.5 for width in widths)


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
    d = c == 2 if kind == "nested" else (c + rng.choice(3, n, p=[0.5, 0.3, 0.2])) % 3
    joint = np.zeros(SIZES[kind], dtype=np.int64)
    np.add.at(joint, (a, b, c, d.astype(np.int64)), 1)
    return joint.ravel()


def figures(kind, size, **options):
    """(small counts, determined ones) over some studies."""
    tables = Tables(SIZES[kind], SETS[size])
    found = [
        tables.determined(joint_table(kind, seed), **options) for seed in range(NUM_STUDIES[kind])
    ]
    return tuple(int(total) for total in np.sum(found, axis=0))


@pytest.mark.parametrize("size", [2, 3])
def test_tables_of_different_variables_together_determine_no_small_count(size):
    small, determined = figures("different", size)
    _, undefended = figures("different", size, is_defended=False)
    assert small > 0
    assert determined == 0
    assert undefended > 0.8 * small


@pytest.mark.parametrize("size", [2, 3])
def test_where_one_variable_is_a_function_of_another_some_are_determined(size):
    """A level's partner is released in the coarser table: docs/security.md warns of it."""
    small, determined = figures("nested", size)
    _, undefended = figures("nested", size, is_defended=False)
    assert 0 < determined < small
    assert undefended == small


def test_several_requests_show_no_more_than_one():
    """A table is suppressed the same in whatever request it is: rounds add nothing to it."""
    joint = joint_table("different", 3)
    together = Tables(SIZES["different"], SETS[3])
    _, whole = together.released(joint)
    for places in SETS[3]:
        alone = Tables(SIZES["different"], [places])
        _, one = alone.released(joint)
        for part in alone.layout.starts:
            for array in ("withheld", "totals"):
                first = alone.layout.view(part, getattr(one, array))
                second = together.layout.view(part, getattr(whole, array))
                assert np.array_equal(first, second)
