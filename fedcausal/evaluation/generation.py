"""How like held-out records the records are that a model draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, rankdata

from fedcausal.data.table import Vector
from fedcausal.schema import Schema, Variable
from fedcausal_privacy.canonical import JsonValue

__all__ = ["Columns", "GenerationQuality", "compare_records", "detection_auc", "shuffled"]

Columns = Mapping[str, Vector]

NUM_BINS = 10
"""Bins of equal frequency into which a number is cut where it meets levels."""

MIN_PAIRS = 10
"""With fewer records that have both variables a pair is not compared."""

FOLDS = 5
NUM_TREES = 50
MAX_DECIMALS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationQuality:
    """Scores from 0 to 1, where 1 means that no difference can be seen.

    Attributes
    ----------
    shapes
        Variable -> 1 - Kolmogorov-Smirnov distance of numbers, 1 - total variation of levels.
    trends
        (variable, variable) -> 1 - |difference of rank correlations| / 2 of numbers, 1 - total
        variation of the joint table where levels take part.
    """

    shapes: Mapping[str, float]
    trends: Mapping[tuple[str, str], float]

    @property
    def shape(self) -> float:
        """Mean over the variables."""
        return float(np.mean(list(self.shapes.values()))) if self.shapes else 1.0

    @property
    def trend(self) -> float:
        """Mean over the pairs."""
        return float(np.mean(list(self.trends.values()))) if self.trends else 1.0

    @property
    def score(self) -> float:
        """Mean of both."""
        return (self.shape + self.trend) / 2.0

    def to_json(self) -> dict[str, JsonValue]:
        """The scores as a JSON object."""
        return {
            "score": self.score,
            "shape": self.shape,
            "trend": self.trend,
            "shapes": dict(self.shapes),
            "trends": [[*pair, value] for pair, value in self.trends.items()],
        }


def compare_records(schema: Schema, real: Columns, drawn: Columns) -> GenerationQuality:
    """Compare every variable and every pair of variables, over the records that have them.

    Parameters
    ----------
    real, drawn
        Variable -> numbers in declared units or level codes, NaN for missing. The variables of
        `real` are compared.

    References
    ----------
    The scores are "column shapes" and "column pair trends" of SDMetrics' quality report
    (docs.sdv.dev/sdmetrics), with rank correlations in place of Pearson's.
    """
    names = list(real)
    present = {n for n in names if _seen(real[n]).any() and _seen(drawn[n]).any()}
    shapes = {n: _shape(schema[n], real[n], drawn[n]) for n in names if n in present}
    trends = {}
    for first, second in combinations([n for n in names if n in present], 2):
        value = _trend(
            (schema[first], schema[second]),
            (real[first], real[second]),
            (drawn[first], drawn[second]),
        )
        if value is not None:
            trends[first, second] = value
    return GenerationQuality(shapes=shapes, trends=trends)


def detection_auc(schema: Schema, real: Columns, drawn: Columns, *, seed: int = 0) -> float:
    """How well a classifier tells drawn records from real ones: 0.5 not at all, 1 always.

    Gradient-boosted trees, cross-validated area under the ROC curve. Values that are missing in
    the real records are removed from the drawn ones as well, and drawn numbers are rounded as the
    real ones are: neither is what a model is asked for.

    References
    ----------
    Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests, arXiv:1610.06545.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits

    names = list(real)
    held_out = np.column_stack([real[n] for n in names])
    made = np.column_stack([_rounded_like(drawn[n], real[n]) for n in names])
    size = min(len(held_out), len(made))
    held_out, made = held_out[:size], np.where(np.isnan(held_out[:size]), np.nan, made[:size])
    if size < 2 * FOLDS:
        return 0.5
    levels = [i for i, n in enumerate(names) if not schema[n].is_numeric]
    classifier = HistGradientBoostingClassifier(
        max_iter=NUM_TREES, categorical_features=levels or None, random_state=seed
    )
    # Trees this small lose more by threads that wait for one another than they gain.
    with threadpool_limits(limits=1):
        scores = cross_val_score(
            classifier,
            np.vstack([held_out, made]),
            np.repeat([0, 1], size),
            scoring="roc_auc",
            cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
        )
    return float(np.mean(scores))


def shuffled(columns: Columns, rng: np.random.Generator) -> dict[str, Vector]:
    """Every column in an order of its own: right shapes, no trends. The trivial baseline."""
    return {name: rng.permutation(values) for name, values in columns.items()}


def _seen(values: Vector) -> NDArray[np.bool_]:
    return ~np.isnan(values)


def _shape(variable: Variable, real: Vector, drawn: Vector) -> float:
    real, drawn = real[_seen(real)], drawn[_seen(drawn)]
    if not variable.is_numeric:
        return 1.0 - _total_variation(*(_shares(v, variable.num_levels) for v in (real, drawn)))
    return 1.0 - float(ks_2samp(real, drawn, method="asymp").statistic)


def _trend(
    variables: tuple[Variable, Variable],
    real: tuple[Vector, Vector],
    drawn: tuple[Vector, Vector],
) -> float | None:
    real, drawn = _paired(*real), _paired(*drawn)
    if min(len(real[0]), len(drawn[0])) < MIN_PAIRS:
        return None
    if all(variable.is_numeric for variable in variables):
        found = [_rank_correlation(*pair) for pair in (real, drawn)]
        return 1.0 - abs(found[0] - found[1]) / 2.0
    coded = [_coded(v, r, d) for v, r, d in zip(variables, real, drawn, strict=True)]
    (left, left_drawn, size), (right, right_drawn, other) = coded
    tables = [
        _shares(first * other + second, size * other)
        for first, second in ((left, right), (left_drawn, right_drawn))
    ]
    return 1.0 - _total_variation(*tables)


def _paired(first: Vector, second: Vector) -> tuple[Vector, Vector]:
    both = _seen(first) & _seen(second)
    return first[both], second[both]


def _rank_correlation(first: Vector, second: Vector) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _rounded_like(drawn: Vector, real: Vector) -> Vector:
    """Drawn numbers with as many decimals as the real ones have, six at most."""
    real = real[_seen(real)]
    for decimals in range(MAX_DECIMALS):
        if np.array_equal(real, np.round(real, decimals)):
            rounded: Vector = np.round(drawn, decimals)
            return rounded
    return drawn


def _coded(variable: Variable, real: Vector, drawn: Vector) -> tuple[Vector, Vector, int]:
    """Codes of both samples and their number; numbers are cut at the real quantiles."""
    if not variable.is_numeric:
        return real, drawn, variable.num_levels
    edges = np.unique(np.quantile(real, np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
    codes = [np.searchsorted(edges, v, side="right").astype(np.float64) for v in (real, drawn)]
    return codes[0], codes[1], len(edges) + 1


def _shares(codes: Vector, num_codes: int) -> Vector:
    shares: Vector = np.bincount(codes.astype(np.int64), minlength=num_codes) / len(codes)
    return shares


def _total_variation(first: Vector, second: Vector) -> float:
    return float(np.abs(first - second).sum() / 2.0)
