"""Closed-form fit of every mechanism from the released family Grams."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedcausal.errors import FedCausalError
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.mechanism import LevelMechanism, Mechanism, NumericMechanism
from fedcausal.model.plain_fits import plain_fits
from fedcausal.model.residual_law import ResidualLaw
from fedcausal.model.smoothing import penalties, smooth_fit

__all__ = [
    "COEFFICIENT_STEPS",
    "fit_mechanism",
    "fit_mechanisms",
    "fit_plain_mechanism",
    "least_squares",
    "smooth",
]

RIDGE = 1e-9
"""Added to the diagonal of the correlations of the features: breaks ties of collinear ones."""
COEFFICIENT_STEPS = 2.0**24
"""Numeric coefficients are multiples of 2^-24, so that sums with quantised features are exact."""


def fit_mechanisms(grams: Mapping[str, FamilyGram]) -> dict[str, Mechanism]:
    """One mechanism for every node.

    Privacy: computed from released totals; nothing further leaves a site.

    Raises
    ------
    FedCausalError
        A node has too few records for its features; the message names it.
    """
    return {node: fit_mechanism(gram) for node, gram in grams.items()}


def fit_mechanism(gram: FamilyGram) -> Mechanism:
    """Least squares of the node's columns on the features, about the (site) means.

    Assumptions: slopes are the same at all sites; with centred Grams an intercept per site is
    projected out and the model's single intercept reproduces the pooled mean.
    """
    return _with(gram, smooth(gram) if gram.family.basis.knots else least_squares(gram))


def fit_plain_mechanism(gram: FamilyGram) -> Mechanism:
    """The least that could be true: a line of every parent for a number, frequencies for levels.

    The residual of a line is Gaussian.
    """
    basis, first = gram.family.basis, gram.family.basis.num_features
    if gram.family.num_levels:
        return _with(gram, least_squares(replace(gram, usable=np.zeros(first, dtype=np.bool_))))
    if basis.knots:
        products, cross = gram.products[:first, :first], gram.products[:first, first:]
        (line,) = plain_fits(basis, products, cross, gram.usable)
        return _with(gram, (line.slopes, line.inverse, line.effective))
    alone = np.array([len(t) == 1 and t[0].degree <= 1 for t in basis.terms], dtype=np.bool_)
    return _with(gram, least_squares(replace(gram, usable=gram.usable & alone)))


def _with(gram: FamilyGram, fit: tuple[FloatArray, FloatArray, float]) -> Mechanism:
    """The mechanism with these slopes, their inverse and their effective number."""
    slopes, inverse, effective = fit
    degrees = gram.num_records - gram.num_means - effective
    if degrees < 1:
        raise FedCausalError(_too_few(gram))
    first = gram.family.basis.num_features
    shared = gram.products[first:, :first] @ slopes
    bent = slopes.T @ gram.products[:first, :first] @ slopes
    own = gram.products[first:, first:] - shared - shared.T + bent
    residual = np.maximum(own, 0.0) if gram.family.num_levels == 0 else own
    intercept = gram.means[first:] - gram.means[:first] @ slopes
    coefficients = np.concatenate([intercept[None, :], slopes])
    return _mechanism(gram, coefficients, _with_intercept(gram, inverse), residual / degrees)


def _mechanism(
    gram: FamilyGram, coefficients: FloatArray, covariance: FloatArray, residual: FloatArray
) -> Mechanism:
    family = gram.family
    if family.num_levels:
        hidden = tuple(f"{family.node}={level}" for level in gram.withheld_levels)
        return LevelMechanism(
            family=family,
            coefficients=coefficients,
            feature_covariance=covariance,
            level_covariance=residual,
            dropped=(*gram.dropped, *hidden),
        )
    variance = float(residual[0, 0])
    return NumericMechanism(
        family=family,
        coefficients=np.rint(coefficients[:, 0] * COEFFICIENT_STEPS) / COEFFICIENT_STEPS,
        covariance=covariance * variance,
        residual=ResidualLaw.gaussian(np.sqrt(variance), gram.num_records),
        dropped=gram.dropped,
    )


def least_squares(gram: FamilyGram) -> tuple[FloatArray, FloatArray, float]:
    """Slopes (num_features, num_node_columns), (X'X)^-1, and how many features have a slope.

    Both are zero for features without one.
    """
    first = gram.family.basis.num_features
    spread = gram.products.diagonal()[:first]
    kept = np.flatnonzero(gram.usable & (spread > 0.0))
    slopes = np.zeros((first, gram.family.num_node_columns))
    inverse = np.zeros((first, first))
    if len(kept):
        size = np.sqrt(spread[kept])
        inner = gram.products[np.ix_(kept, kept)] / np.multiply.outer(size, size)
        inverted = np.linalg.inv(inner + RIDGE * np.eye(len(kept)))
        inverse[np.ix_(kept, kept)] = inverted / np.multiply.outer(size, size)
        slopes[kept] = inverse[np.ix_(kept, kept)] @ gram.products[kept, first:]
    return slopes, inverse, float(np.count_nonzero(inverse.diagonal()))


def smooth(gram: FamilyGram) -> tuple[FloatArray, FloatArray, float]:
    """The same by penalised least squares, with the effective number of features.

    A spline that a withheld cell touches is left out whole.
    """
    basis, first = gram.family.basis, gram.family.basis.num_features
    paid = [p for p in penalties(basis) if gram.usable[p.features].all()]
    splines = np.zeros(first, dtype=np.bool_)
    splines[[k for k, term in enumerate(basis.terms) if any(f.bump is not None for f in term)]] = 1
    wanted = gram.usable & ~splines & (gram.products.diagonal()[:first] > 0.0)
    for penalty in paid:
        wanted[penalty.features] = True
    kept, place = np.flatnonzero(wanted), np.cumsum(wanted) - 1
    fitted = smooth_fit(
        gram.products[np.ix_(kept, kept)],
        gram.products[kept, first:],
        gram.products.diagonal()[first:],
        [p.moved(int(place[p.features.start])) for p in paid],
        degrees=gram.num_records - gram.num_means,
    )
    slopes = np.zeros((first, gram.family.num_node_columns))
    inverse = np.zeros((first, first))
    slopes[kept] = fitted.slopes
    inverse[np.ix_(kept, kept)] = fitted.inverse
    return _plainer(gram, (slopes, inverse, fitted.effective))


def _plainer(
    gram: FamilyGram, spline: tuple[FloatArray, FloatArray, float]
) -> tuple[FloatArray, FloatArray, float]:
    """A line in the spline's place where Schwarz's criterion says that it is enough.

    Akaike's would not do: it takes the chosen smoothness as given, and so a spline that follows
    noise for better than a line (Greven and Kneib 2010, Biometrika 97(4)).

    References
    ----------
    Schwarz (1978), Estimating the dimension of a model, Annals of Statistics 6(2).
    """
    if gram.family.num_levels:
        return spline
    first, price = gram.family.basis.num_features, float(np.log(gram.num_records))
    products, cross = gram.products[:first, :first], gram.products[:first, first:]
    plain = plain_fits(gram.family.basis, products, cross, gram.usable)
    fits = [*((fit.slopes, fit.inverse, fit.effective) for fit in plain), spline]

    def criterion(fit: tuple[FloatArray, FloatArray, float]) -> float:
        slopes, _, effective = fit
        bent = float((slopes.T @ products @ slopes)[0, 0])
        left = float(gram.products[first, first]) - 2.0 * float((slopes.T @ cross)[0, 0]) + bent
        return gram.num_records * float(np.log(max(left, 1e-300))) + price * effective

    return min(fits, key=criterion)


def _with_intercept(gram: FamilyGram, inverse: FloatArray) -> FloatArray:
    """Covariance of (intercept, slopes) per unit residual variance."""
    first = gram.family.basis.num_features
    means = gram.means[:first]
    cross = -inverse @ means
    corner = np.array([[1.0 / gram.num_records + means @ inverse @ means]])
    return np.block([[corner, cross[None, :]], [cross[:, None], inverse]])


def _too_few(gram: FamilyGram) -> str:
    width = gram.family.basis.num_features
    return (
        f"no model of {gram.family.node!r}: {gram.num_records} complete records for {width} "
        f"features and {gram.num_means} means; lower model.degree or add rows"
    )
