"""Fitted functions of numbers and levels in parts: cubics, cubics that a level chooses, levels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.model.curves import Curves, cubics, curves_of, ends_of
from fedcausal.model.family_basis import FamilyBasis, FloatArray, unscale
from fedcausal.model.family_terms import Knots, Term, coarse, is_indicator

__all__ = ["ChosenCubics", "LevelSplines", "level_splines_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenCubics:
    """A function of one number, of which a level of another parent says which it is.

    Attributes
    ----------
    chooser, parent
        The parent with levels, and the number.
    edges
        (num_intervals + 1,) ends of the number's intervals in declared units.
    table
        (num_levels, num_intervals + 2, 4, num_outputs) cubics in local units, constant first; the
        outermost intervals lie beyond the ends.
    """

    chooser: str
    parent: str
    edges: FloatArray
    table: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelSplines:
    """One fitted function in parts, whose sum it is, up to rounding.

    Attributes
    ----------
    curves
        What splines of numbers add, and their products; None without such.
    chosen
        What products of a level and a spline add.
    indicators, coefficients
        The features of levels alone, and their (1 + num_features, num_outputs) coefficients with
        an intercept of 0.
    """

    curves: Curves | None
    chosen: tuple[ChosenCubics, ...]
    indicators: FamilyBasis
    coefficients: FloatArray


def level_splines_of(basis: FamilyBasis, coefficients: FloatArray) -> LevelSplines | None:
    """The parts of (1 + num_features, num_outputs) coefficients, intercepts first.

    None where a feature is a polynomial, or a transformed number.
    """
    if not basis.knots or any(_is_polynomial(term) for term in basis.terms):
        return None
    if any(type(interval) is not tuple for interval in basis.ranges.values()):
        return None
    kinds = np.array([_kind(term) for term in basis.terms])
    numbers = tuple(name for name in basis.parents if name in basis.knots)
    splines, own = _some(basis, coefficients, kinds == "splines", numbers)
    indicators, levels = _some(basis, coefficients, kinds == "levels", basis.parents)
    levels[0] = 0.0
    return LevelSplines(
        curves=curves_of(splines, own),
        chosen=_chosen(basis, coefficients, kinds == "both"),
        indicators=indicators,
        coefficients=levels,
    )


def _some(
    basis: FamilyBasis,
    coefficients: FloatArray,
    wanted: NDArray[np.bool_],
    parents: tuple[str, ...],
) -> tuple[FamilyBasis, FloatArray]:
    """The basis of some terms, and their coefficients with the intercepts."""
    terms = tuple(term for term, is_in in zip(basis.terms, wanted, strict=True) if is_in)
    part = FamilyBasis(
        parents=parents,
        degree=basis.degree,
        terms=terms,
        ranges=basis.ranges,
        knots=basis.knots,
    )
    return part, coefficients[np.concatenate([[True], wanted])]


def _chosen(
    basis: FamilyBasis, coefficients: FloatArray, wanted: NDArray[np.bool_]
) -> tuple[ChosenCubics, ...]:
    weights: dict[tuple[str, str], dict[tuple[int, int], FloatArray]] = {}
    for k in np.flatnonzero(wanted):
        level, spline = sorted(basis.terms[k], key=lambda factor: factor.level is None)
        at = level.level or 0, spline.bump or 0
        weights.setdefault((level.variable, spline.variable), {})[at] = coefficients[1 + k]
    return tuple(
        _cubics_of(pair, own, basis, coarse(basis.knots[pair[1]])) for pair, own in weights.items()
    )


def _cubics_of(
    pair: tuple[str, str],
    weights: Mapping[tuple[int, int], FloatArray],
    basis: FamilyBasis,
    knots: Knots,
) -> ChosenCubics:
    local = cubics(knots)
    outputs = len(next(iter(weights.values())))
    own = np.zeros((1 + max(level for level, _ in weights), local.shape[-1], outputs))
    for (level, bump), weight in weights.items():
        own[level, bump] = weight
    chooser, parent = pair
    return ChosenCubics(
        chooser=chooser,
        parent=parent,
        edges=unscale(ends_of(knots), basis.ranges[parent]),
        table=np.einsum("iak,lko->liao", local, own),
    )


def _kind(term: Term) -> str:
    if is_indicator(term):
        return "levels"
    return "both" if any(factor.level is not None for factor in term) else "splines"


def _is_polynomial(term: Term) -> bool:
    return any(factor.level is None and factor.bump is None for factor in term)
