"""Counts of what the sites' own graphs say about each pair of variables."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fedcausal.errors import ProtocolError
from fedcausal.pdag import Pdag, bits
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["Ballot", "Votes", "num_entries", "pair_votes"]


class Ballot(IntEnum):
    """What one graph says about a pair (first, second) in schema order."""

    NONE = 0
    FORWARD = 1
    BACKWARD = 2
    UNDIRECTED = 3
    BIDIRECTED = 4
    CIRCLE = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Votes:
    """Summed ballots of all sites.

    Attributes
    ----------
    names
        The study's variables (d), in schema order.
    counts
        (d (d - 1) / 2, 6) int64: ballots per pair (rows of the upper triangle) and `Ballot`.
    num_ballots
        Ballots per pair: sites times bootstraps.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    num_ballots: int

    def __post_init__(self) -> None:
        if self.counts.size != num_entries(len(self.names)):
            raise ProtocolError("votes and variables differ in number")
        if np.any(self.counts < 0) or np.any(self.counts.sum(axis=1) != self.num_ballots):
            raise ProtocolError(f"expected {self.num_ballots} ballots on every pair")
        self.counts.setflags(write=False)

    def adjacency(self) -> NDArray[np.int64]:
        """(d, d) symmetric: ballots that join the pair."""
        return self._square(self.num_ballots - self.counts[:, Ballot.NONE], sign=1)

    def direction(self) -> NDArray[np.int64]:
        """(d, d): ballots for i -> j."""
        forward, backward = self.counts[:, Ballot.FORWARD], self.counts[:, Ballot.BACKWARD]
        return self._square(forward, sign=0) + self._square(backward, sign=0).T

    def shares(self, first: str, second: str) -> dict[str, float]:
        """Share of each ballot on a pair, read from `first` to `second`."""
        i, j = self.names.index(first), self.names.index(second)
        low, high = sorted((i, j))
        row = self.counts[_pair_index(low, high, len(self.names))] / self.num_ballots
        shares = {ballot.name.lower(): float(row[ballot]) for ballot in Ballot}
        if i > j:
            shares["forward"], shares["backward"] = shares["backward"], shares["forward"]
        return shares

    def _square(self, values: NDArray[np.int64], *, sign: int) -> NDArray[np.int64]:
        size = len(self.names)
        matrix = np.zeros((size, size), dtype=np.int64)
        matrix[np.triu_indices(size, 1)] = values
        return matrix + sign * matrix.T


def num_entries(num_variables: int) -> int:
    """Length of the vector of votes.

    >>> num_entries(4)
    36
    """
    return len(Ballot) * num_variables * (num_variables - 1) // 2


def pair_votes(pdag: Pdag | None, places: list[int], num_variables: int) -> IntVector:
    """One graph's ballots, (d (d - 1) / 2, 6).

    Parameters
    ----------
    pdag
        A graph over some of the variables, or None when none could be learnt.
    places
        The schema position of each variable of the graph; pairs outside it count as none.
    num_variables
        d.
    """
    votes = np.zeros((num_variables * (num_variables - 1) // 2, len(Ballot)), dtype=np.int64)
    votes[:, Ballot.NONE] = 1
    if pdag is None:
        return votes
    for i in range(len(places)):
        for j in bits(pdag.to[i]):
            first, second = places[i], places[j]
            row = votes[_pair_index(min(first, second), max(first, second), num_variables)]
            row[:] = 0
            if pdag.undirected(i) >> j & 1:
                row[Ballot.UNDIRECTED] = 1
            else:
                row[Ballot.FORWARD if first < second else Ballot.BACKWARD] = 1
    return votes


def _pair_index(low: int, high: int, size: int) -> int:
    return low * size - low * (low + 1) // 2 + high - low - 1
