"""Who masks with whom: everybody up to 64 sites, a random k-regular graph above."""

import math
from fractions import Fraction
from typing import Final

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.errors import ProtocolError

__all__ = [
    "COMPLETE_UP_TO",
    "degree",
    "isolation_bound",
    "isolation_probability",
    "neighbours",
    "worst_case_colluders",
]

COMPLETE_UP_TO: Final = 64
"""Rosters of at most this many sites use the complete graph: every pair shares a mask."""

COLLUDING_SHARE: Final = Fraction(1, 3)
SECURITY_BITS: Final = 80
"""The degree keeps the honest sites connected but with probability 2^-80 when a third of all
sites, not chosen by the graph, collude. Sites that redraw their keys to move in the graph gain a
factor of their number of tries: 2^40 tries leave 2^-40."""


def neighbours(position: int, num_sites: int, roster_hash: str) -> tuple[int, ...]:
    """The roster positions with which a site shares masks, sorted.

    The sites are put on a circle in an order drawn from the roster hash, and each is joined with
    the k / 2 next ones on both sides. The hash covers all ephemeral keys and was signed by
    every site before any value left, so nobody picks neighbours.

    Parameters
    ----------
    position : int
        The site's place in the roster, 0 to `num_sites` - 1.
    num_sites : int
    roster_hash : str
        64 hexadecimal digits.

    Notes
    -----
    Assumptions: SHA-256 behaves like a random function. The graph is k-regular and k-connected,
    so fewer than k colluders never cut the honest sites apart; see `isolation_bound`.
    References: Harary (1962), PNAS 48:1142; Bell et al. (2020), doi:10.1145/3372297.3417885,
    section 3.2.

    >>> neighbours(1, 4, "00" * 32)
    (0, 2, 3)
    """
    if not 0 <= position < num_sites:
        raise ProtocolError("a site's position is not in the roster")
    if num_sites <= COMPLETE_UP_TO:
        return tuple(i for i in range(num_sites) if i != position)
    circle = sorted(range(num_sites), key=lambda i: sha256_hex(f"{roster_hash}|{i}".encode()))
    place, half = circle.index(position), degree(num_sites) // 2
    steps = [step for distance in range(1, half + 1) for step in (distance, -distance)]
    return tuple(sorted(circle[(place + step) % num_sites] for step in steps))


def degree(num_sites: int) -> int:
    """How many neighbours each site has in a roster of this size.

    >>> degree(64), degree(1000)
    (63, 60)
    """
    if num_sites <= COMPLETE_UP_TO:
        return num_sites - 1
    colluding = math.floor(num_sites * COLLUDING_SHARE)
    limit = Fraction(1, 2**SECURITY_BITS)
    k = 2
    while k < num_sites - 2 and _bound(num_sites, k, colluding) > limit:
        k += 2
    return k


def isolation_bound(num_sites: int, num_colluding: int) -> float:
    """Bound on the probability that random colluders cut the honest sites apart at all.

    On the circle a cut needs two runs of k / 2 colluding sites; there are at most K (K - 1) / 2
    pairs of places for them, and k given sites all collude with probability C(c, k) / C(K, k).
    One honest site alone (all its k neighbours collude) is a special case.
    """
    if num_sites <= COMPLETE_UP_TO:
        return 0.0
    return float(min(Fraction(1), _bound(num_sites, degree(num_sites), num_colluding)))


def isolation_probability(num_sites: int, num_colluding: int) -> float:
    """Probability that random colluders are all the neighbours of one given honest site."""
    k = degree(num_sites)
    if num_colluding > num_sites - 1:
        raise ProtocolError("at least the one honest site does not collude")
    return float(Fraction(math.comb(num_colluding, k), math.comb(num_sites - 1, k)))


def worst_case_colluders(num_sites: int) -> int:
    """Fewest sites that isolate one when they may be chosen after the graph is known.

    In the complete graph these are all others; whoever can corrupt any sites at will needs the
    neighbours only.

    >>> worst_case_colluders(10), worst_case_colluders(1000)
    (9, 60)
    """
    return degree(num_sites)


def _bound(num_sites: int, k: int, num_colluding: int) -> Fraction:
    pairs = math.comb(num_sites, 2)
    return pairs * Fraction(math.comb(num_colluding, k), math.comb(num_sites, k))
