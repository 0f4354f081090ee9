"""Which products of parents a family's regression reads: polynomials and levels, or splines."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedcausal.model.bsplines import num_bumps
from fedcausal.schema import Variable

__all__ = ["Factor", "Knots", "Term", "coarse", "is_indicator", "polynomial_terms", "spline_terms"]

Knots = tuple[float, ...]
"""Interior knots of one variable, increasing strictly, in its scaled units (-1, 1)."""

COARSENING = 3
"""A product of two splines keeps every third knot of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One factor of a feature: a Legendre degree, a spline, or one level of a parent.

    `bump` is the index of a B-spline over the variable's knots, or over its coarse knots.
    """

    variable: str
    degree: int = 0
    level: int | None = None
    bump: int | None = None
    is_coarse: bool = False

    @property
    def label(self) -> str:
        """How reports write the factor: `age`, `P2(age)`, `sex=2`, `s4(age)`."""
        if self.level is not None:
            return f"{self.variable}={self.level}"
        if self.bump is not None:
            return f"{'c' if self.is_coarse else 's'}{self.bump}({self.variable})"
        return self.variable if self.degree == 1 else f"P{self.degree}({self.variable})"


Term = tuple[Factor, ...]


def polynomial_terms(parents: Sequence[Variable], degree: int) -> tuple[Term, ...]:
    """Products of total degree 1..`degree`, by degree and then in the order of the parents."""
    choices = [[None, *_factors(parent, degree)] for parent in parents]
    products = [tuple(f for f in pick if f is not None) for pick in _products(choices, degree)]
    return tuple(sorted((p for p in products if p), key=_total_degree))


def spline_terms(parents: Sequence[Variable], knots: Mapping[str, Knots]) -> tuple[Term, ...]:
    """A spline or the levels of every parent, then the products of every pair of parents.

    The first spline of a variable is left out, like the first level: with the constant they say
    the same. Pairs use coarse knots, and name levels first.
    """
    alone = [_ones(parent, knots, is_coarse=False) for parent in parents]
    together = [
        (left, right)
        for pair in itertools.combinations(sorted(parents, key=lambda p: p.is_numeric), 2)
        for left, right in itertools.product(*(_ones(p, knots, is_coarse=True) for p in pair))
    ]
    return (*((factor,) for factors in alone for factor in factors), *together)


def coarse(knots: Knots) -> Knots:
    """The knots that products use."""
    return knots[COARSENING // 2 :: COARSENING]


def is_indicator(term: Term) -> bool:
    """Whether a feature is 0 or 1: a product of levels."""
    return all(factor.level is not None for factor in term)


def _ones(parent: Variable, knots: Mapping[str, Knots], *, is_coarse: bool) -> list[Factor]:
    if not parent.is_numeric:
        return _levels(parent)
    own = coarse(knots[parent.name]) if is_coarse else knots[parent.name]
    return [
        Factor(variable=parent.name, bump=k, is_coarse=is_coarse) for k in range(1, num_bumps(own))
    ]


def _products(
    choices: Sequence[Sequence[Factor | None]], degree: int
) -> Iterator[tuple[Factor | None, ...]]:
    partial: list[tuple[Factor | None, ...]] = [()]
    for options in choices:
        partial = [
            (*left, right)
            for left, right in itertools.product(partial, options)
            if _total_degree(left) + _total_degree((right,)) <= degree
        ]
    yield from partial


def _factors(parent: Variable, degree: int) -> list[Factor]:
    if parent.is_numeric:
        return [Factor(variable=parent.name, degree=k) for k in range(1, degree + 1)]
    return _levels(parent)


def _levels(parent: Variable) -> list[Factor]:
    return [Factor(variable=parent.name, level=k) for k in range(1, parent.num_levels)]


def _total_degree(factors: Iterable[Factor | None]) -> int:
    return sum(0 if f is None else max(f.degree, 1) for f in factors)
