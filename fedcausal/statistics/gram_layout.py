"""Where each sum of a "gram" statistic stands in its vector, and what the cell rule must know."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedcausal.moments.basis import Basis
from fedcausal_privacy.statistic_spec import CountTable, Guard

__all__ = ["CentredLayout", "PooledLayout"]

_Indices = NDArray[np.int64]


@dataclass(frozen=True)
class _Layout:
    """Consecutive sections of a vector; entries of a section are found by their coordinates."""

    basis: Basis

    @cached_property
    def blocks(self) -> list[_Indices]:
        """The features of every variable, in schema order."""
        return [np.array(self.basis.block(name)) for name in self.basis.schema.names]

    @cached_property
    def levels(self) -> list[int]:
        """The features that indicate a level: their sums are counts of records."""
        return [i for i, f in enumerate(self.basis.features) if f.level is not None]

    @property
    def num_variables(self) -> int:
        """Number of variables d."""
        return len(self.basis.schema)

    @property
    def num_features(self) -> int:
        """Number of features p."""
        return self.basis.num_features

    def variable_pairs(self) -> Iterator[tuple[int, int]]:
        """All (v, w) with v <= w."""
        d = self.num_variables
        return ((v, w) for v in range(d) for w in range(v, d))


class CentredLayout(_Layout):
    """Sums that are centred at each site, for site effects `center` and `standardize`.

    In order: the number of rows; per variable, its records; per pair of variables, records that
    count for the pair; per pair, sites with such records; per feature, its sum; per pair of
    features, its product; per (feature, variable), its square over that variable's records.
    """

    @cached_property
    def _starts(self) -> list[int]:
        d, p = self.num_variables, self.num_features
        pairs = d * (d + 1) // 2
        sizes = [1, d, pairs, pairs, p, p * (p + 1) // 2, p * d]
        return [0, *np.cumsum(sizes).tolist()]

    @property
    def length(self) -> int:
        """Length of the vector."""
        return self._starts[-1]

    @cached_property
    def observed(self) -> _Indices:
        """(d,) entries: records of each variable."""
        return self._starts[1] + np.arange(self.num_variables)

    @cached_property
    def counts(self) -> _Indices:
        """(d, d) entries, symmetric: records of each pair."""
        return _symmetric(self.num_variables, self._starts[2])

    @cached_property
    def sites(self) -> _Indices:
        """(d, d) entries, symmetric: sites with records of each pair."""
        return _symmetric(self.num_variables, self._starts[3])

    @cached_property
    def sums(self) -> _Indices:
        """(p,) entries: sum of each feature."""
        return self._starts[4] + np.arange(self.num_features)

    @cached_property
    def products(self) -> _Indices:
        """(p, p) entries, symmetric."""
        return _symmetric(self.num_features, self._starts[5])

    @cached_property
    def squares(self) -> _Indices:
        """(p, d) entries."""
        p, d = self.num_features, self.num_variables
        return self._starts[6] + np.arange(p * d).reshape(p, d)

    def count_entries(self) -> tuple[int, ...]:
        """Entries that count records."""
        pairs = np.triu_indices(self.num_variables)
        levels = self.sums[self.levels]
        entries = np.concatenate([[0], self.observed, self.counts[pairs], levels])
        return tuple(int(i) for i in np.unique(entries))

    def presence_entries(self) -> tuple[int, ...]:
        """Entries that count sites."""
        return tuple(int(i) for i in np.unique(self.sites))

    def tables(self) -> tuple[CountTable, ...]:
        """The table of levels of every categorical variable."""
        return tuple(
            _table(self.sums[self.blocks[v]])
            for v, variable in enumerate(self.basis.schema)
            if not variable.is_numeric
        )

    def guards(self) -> tuple[Guard, ...]:
        """A withheld pair hides its sums; a withheld level hides everything it takes part in.

        A variable that one site alone has, or varies at one site alone, hides with all of its
        sums; a pair likewise.
        """
        return (
            *(
                _guard(self.sites[v, v], self.observed[[v]], self.counts[[v], v], self.sums[b])
                for v, b in enumerate(self.blocks)
            ),
            *(_guard(self.sites[v, w], self.counts[[v], w]) for v, w in self.variable_pairs()),
            *(_guard(self.observed[v], self.sums[b]) for v, b in enumerate(self.blocks)),
            *(_guard(self.counts[v, w], *self._of_pair(v, w)) for v, w in self.variable_pairs()),
            *(_guard(self.sums[i], self.products[i], self.squares[i]) for i in self.levels),
        )

    def _of_pair(self, v: int, w: int) -> tuple[_Indices, ...]:
        first, second = self.blocks[v], self.blocks[w]
        return (
            self.products[np.ix_(first, second)],
            self.squares[first, w],
            self.squares[second, v],
        )


class PooledLayout(_Layout):
    """Raw sums, as if all rows were in one place.

    In order: the number of rows; per pair of variables, its records; per (feature, variable), the
    feature's sum over that variable's records; per (number, variable), its square over them; per
    pair of features, its product. Products inside a categorical variable follow from its counts
    and are not sent; for them `products` holds -1.
    """

    @cached_property
    def numbers(self) -> list[int]:
        """The features that are numbers."""
        return [i for i, f in enumerate(self.basis.features) if f.level is None]

    @cached_property
    def _starts(self) -> list[int]:
        d, p = self.num_variables, self.num_features
        sent = int(np.count_nonzero(self._sent[np.triu_indices(p)]))
        return [0, *np.cumsum([1, d * (d + 1) // 2, p * d, len(self.numbers) * d, sent]).tolist()]

    @property
    def length(self) -> int:
        """Length of the vector."""
        return self._starts[-1]

    @cached_property
    def counts(self) -> _Indices:
        """(d, d) entries, symmetric: records of each pair."""
        return _symmetric(self.num_variables, self._starts[1])

    @cached_property
    def values(self) -> _Indices:
        """(p, d) entries: sum of each feature over each variable's records."""
        p, d = self.num_features, self.num_variables
        return self._starts[2] + np.arange(p * d).reshape(p, d)

    @cached_property
    def squares(self) -> _Indices:
        """(p, d) entries; the square of an indicator is the indicator, hence its `values`."""
        squares = self.values.copy()
        d = self.num_variables
        squares[self.numbers] = self._starts[3] + np.arange(len(self.numbers) * d).reshape(-1, d)
        return squares

    @cached_property
    def products(self) -> _Indices:
        """(p, p) entries, symmetric; -1 where nothing is sent."""
        entries = np.full((self.num_features, self.num_features), -1, dtype=np.int64)
        upper = np.triu(self._sent)
        entries[upper] = self._starts[4] + np.arange(np.count_nonzero(upper))
        return np.maximum(entries, entries.T)

    @cached_property
    def _sent(self) -> NDArray[np.bool_]:
        owners = self.basis.owners
        is_level = np.isin(np.arange(self.num_features), self.levels)
        sent: NDArray[np.bool_] = (owners[:, None] != owners[None, :]) | ~is_level[:, None]
        return sent

    def count_entries(self) -> tuple[int, ...]:
        """Entries that count records."""
        pairs = np.triu_indices(self.num_variables)
        crossed = self.products[np.ix_(self.levels, self.levels)]
        entries = np.concatenate(
            [[0], self.counts[pairs], self.values[self.levels].ravel(), crossed[crossed >= 0]]
        )
        return tuple(int(i) for i in np.unique(entries))

    def presence_entries(self) -> tuple[int, ...]:
        """None: how many sites there are must not matter to pooled sums."""
        return ()

    def tables(self) -> tuple[CountTable, ...]:
        """Levels of a variable over the records of each other one; crossed levels of each pair."""
        is_numeric = [variable.is_numeric for variable in self.basis.schema]
        d = self.num_variables
        margins = [
            _table(self.values[self.blocks[v], w])
            for v in range(d)
            for w in range(d)
            if not is_numeric[v]
        ]
        crossed = [
            _table(self.products[np.ix_(self.blocks[v], self.blocks[w])])
            for v, w in self.variable_pairs()
            if v < w and not is_numeric[v] and not is_numeric[w]
        ]
        return (*margins, *crossed)

    def guards(self) -> tuple[Guard, ...]:
        """A withheld pair hides its sums; a withheld level hides what is summed over it."""
        owners = self.basis.owners
        pairs = (_guard(self.counts[v, w], *self._of_pair(v, w)) for v, w in self.variable_pairs())
        levels = (
            _guard(self.values[i, w], self._products_with(i, w), self._all_of(i, w == owners[i]))
            for i in self.levels
            for w in range(self.num_variables)
        )
        return (*pairs, *levels)

    def _of_pair(self, v: int, w: int) -> tuple[_Indices, ...]:
        first, second = self.blocks[v], self.blocks[w]
        products = self.products[np.ix_(first, second)].ravel()
        return (
            products[products >= 0],
            self.values[first, w],
            self.values[second, v],
            self.squares[first, w],
            self.squares[second, v],
        )

    def _products_with(self, level: int, variable: int) -> _Indices:
        products: _Indices = self.products[level, self.blocks[variable]]
        return products[products >= 0]

    def _all_of(self, level: int, is_own: bool) -> _Indices:
        """Everything of a level whose own count is withheld."""
        if not is_own:
            return np.empty(0, dtype=np.int64)
        products = self.products[level]
        return np.concatenate([self.values[level], products[products >= 0]])


def _symmetric(size: int, start: int) -> _Indices:
    """Entries of a symmetric matrix whose upper triangle is stored row by row from `start`."""
    entries = np.zeros((size, size), dtype=np.int64)
    upper = np.triu_indices(size)
    entries[upper] = entries.T[upper] = start + np.arange(len(upper[0]))
    return entries


def _table(entries: _Indices) -> CountTable:
    return CountTable(cells=tuple(int(i) for i in entries.ravel()), shape=entries.shape)


def _guard(count: np.int64, *dependents: _Indices) -> Guard:
    entries = np.concatenate([d.ravel() for d in dependents])
    return Guard(count=int(count), dependents=tuple(entries.tolist()))
