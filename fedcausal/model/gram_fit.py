"""Closed-form fit of every mechanism from the released family Grams."""

from collections.abc import Mapping

import numpy as np

from fedcausal.errors import FedCausalError
from fedcausal.model.family_basis import FloatArray
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.mechanism import LevelMechanism, Mechanism, NumericMechanism
from fedcausal.model.residual_law import ResidualLaw

__all__ = ["fit_mechanism", "fit_mechanisms"]

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
    slopes, inverse = _least_squares(gram)
    degrees = gram.num_records - gram.num_means - int(np.count_nonzero(inverse.diagonal()))
    if degrees < 1:
        raise FedCausalError(_too_few(gram))
    first = gram.family.basis.num_features
    own = gram.products[first:, first:] - gram.products[first:, :first] @ slopes
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


def _least_squares(gram: FamilyGram) -> tuple[FloatArray, FloatArray]:
    """Slopes (num_features, num_node_columns) and (X'X)^-1, zero for features without a slope."""
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
    return slopes, inverse


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
