"""Effects by a formula of the observed law, which a released model can be asked to draw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.contrast import Contrast
from fedcausal.effects.estimand import Conditional, Estimand, Product, Sum, evaluate
from fedcausal.errors import IdentificationError
from fedcausal.model.engine import Columns
from fedcausal.model.ensemble import EnsembleModel, spread_between
from fedcausal.model.family_basis import FamilyBasis, family_of_degree, family_of_knots
from fedcausal.model.family_terms import Knots
from fedcausal.model.gram_model import GramModel
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.smoothing import penalties, smooth_fit

__all__ = ["LawEffect", "adjusted_means", "bounds_without_assumptions", "effect_by", "table_means"]

FloatArray = NDArray[np.float64]
Means = tuple[float, float]
Estimator = Callable[[Mapping[str, FloatArray]], Means]

BATCHES = 10
"""Independent parts of the simulated records: their spread is the simulation's error."""
RECORDS_PER_FEATURE = 20
MOST_SPLINES = 80
"""Features of a regression on splines, which is fitted again for every draw of an interval."""
SPACINGS = (1, 2, 3, 4, 6)
"""Every how many of the model's knots a regression keeps."""
MOST_CELLS = 100_000
PSEUDO_COUNT = 0.5
"""Added to every cell, so that no combination of levels is impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LawEffect:
    """Means under both values, and the standard errors of their difference.

    `simulation` is the error of drawing finitely many records, `sampling` that of the
    coefficients (0 for a model without a law of them).
    """

    means: Means
    simulation: float
    sampling: float


def effect_by(
    model: StructuralCausalModel, estimator: Estimator, *, draws: int, samples: int, seed: int
) -> LawEffect:
    """Apply an estimator to records that the model draws without any do().

    Privacy: a question to a released model; nothing further leaves a site.
    """
    rng = np.random.default_rng([seed, 2])
    size = max(samples // 2, 500)
    found = np.array(
        [estimator(model.engine.sample(size, do={}, rng=rng)) for _ in range(BATCHES)]
    )
    error = float(np.std(found[:, 1] - found[:, 0], ddof=1)) / np.sqrt(BATCHES)
    return LawEffect(
        means=(float(found[:, 0].mean()), float(found[:, 1].mean())),
        simulation=error,
        sampling=_sampling_error(model, estimator, draws, size, seed),
    )


def adjusted_means(
    model: StructuralCausalModel,
    question: Contrast,
    given: Sequence[str],
    *,
    samples: int,
    noise: np.random.Generator | None = None,
) -> Estimator:
    """Standardisation: regress the outcome on treatment and `given`, average the predictions.

    The features are those of a mechanism with these parents: splines where the model has knots
    for them, else of degree 2, as fine as the records are enough for. With `noise` a random
    variable, on which nothing depends, is among them.
    """
    basis = _basis(model, question, tuple(given), samples)

    def features(columns: Mapping[str, FloatArray], drawn: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(len(drawn)), drawn, basis.evaluate(columns)])

    def estimator(columns: Mapping[str, FloatArray]) -> Means:
        outcome = question.measured(columns[question.outcome.name])
        drawn = np.empty((len(outcome), 0))
        if noise is not None:
            drawn = noise.standard_normal((len(outcome), 1))
        slopes = _regress(basis, features(columns, drawn), outcome)
        first, second = (
            float(np.mean(features(_set(columns, question, code), drawn) @ slopes))
            for code in question.codes
        )
        return first, second

    return estimator


def table_means(model: StructuralCausalModel, question: Contrast, formula: Estimand) -> Estimator:
    """The formula's own sum, from the table of all variables that it names.

    Raises
    ------
    IdentificationError
        When one of them has no levels, or the table would be too large.
    """
    names = tuple(n for n in model.graph.nodes if n in _named(formula))
    sizes = [model.schema[n].num_levels for n in names]
    if not all(sizes) or np.prod(sizes, dtype=float) > MOST_CELLS:
        raise IdentificationError(
            f"the effect of {question.treatment.name} on {question.outcome.name} is identified by "
            f"P({question.outcome.name} | do({question.treatment.name})) = {formula}, which is "
            f"evaluated only where all variables in it have levels, and few"
        )
    treatment, outcome = names.index(question.treatment.name), names.index(question.outcome.name)

    def estimator(columns: Mapping[str, FloatArray]) -> Means:
        codes = [columns[n].astype(np.int64) for n in names]
        counts = np.full(sizes, PSEUDO_COUNT)
        np.add.at(counts, tuple(codes), 1.0)
        law = np.broadcast_to(evaluate(formula, counts / counts.sum(), names), sizes)
        law = np.moveaxis(law, (treatment, outcome), (0, 1)).reshape(
            sizes[treatment], sizes[outcome], -1
        )[:, :, 0]
        first, second = (float(law[int(code), -1]) for code in question.codes)
        return first, second

    return estimator


def bounds_without_assumptions(
    model: StructuralCausalModel, question: Contrast, *, samples: int, seed: int
) -> tuple[float, float] | None:
    """Between which values the effect on a binary outcome lies, whatever is hidden.

    None unless treatment and outcome have two levels each.

    References
    ----------
    Robins (1989); Manski (1990), Nonparametric bounds on treatment effects, AER 80.
    """
    if question.treatment.num_levels != 2 or question.outcome.num_levels != 2:
        return None
    columns = model.engine.sample(10 * samples, do={}, rng=np.random.default_rng([seed, 3]))
    treated = columns[question.treatment.name]
    came = question.measured(columns[question.outcome.name])
    sides = [
        (float(np.mean(came * (treated == code))), float(np.mean(treated != code)))
        for code in question.codes
    ]
    (low_a, free_a), (low_b, free_b) = sides
    return low_b - (low_a + free_a), low_b + free_b - low_a


def _sampling_error(
    model: StructuralCausalModel, estimator: Estimator, draws: int, size: int, seed: int
) -> float:
    if isinstance(model.engine, EnsembleModel):
        members = [m.sample(size, do={}, rng=_rng(seed)) for m in model.engine.members]
        return spread_between([second - first for first, second in map(estimator, members)])
    if not isinstance(model.engine, GramModel):
        return 0.0
    rng = _rng(seed)
    noise, effects = model.engine.draw_noise(size, rng), np.empty(draws)
    redraw = model.engine.resampler()
    for k in range(draws):
        columns: Columns = redraw(rng).push(noise, size, do={})
        first, second = estimator(columns)
        effects[k] = second - first
    return float(np.std(effects, ddof=1))


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1])


def _regress(basis: FamilyBasis, features: FloatArray, outcome: FloatArray) -> FloatArray:
    """Slopes, the constant's first: least squares, splines as smooth as the records want them."""
    if not basis.knots:
        return np.asarray(np.linalg.lstsq(features, outcome, rcond=None)[0])
    means, mean = features[:, 1:].mean(axis=0), outcome.mean()
    centred, response = features[:, 1:] - means, (outcome - mean)[:, None]
    extra = centred.shape[1] - basis.num_features
    fitted = smooth_fit(
        centred.T @ centred,
        centred.T @ response,
        np.sum(response * response, axis=0),
        [p.moved(p.features.start + extra) for p in penalties(basis)],
        degrees=len(outcome) - 1,
    )
    slopes = fitted.slopes[:, 0]
    return np.concatenate([[mean - means @ slopes], slopes])


def _basis(
    model: StructuralCausalModel, question: Contrast, given: tuple[str, ...], samples: int
) -> FamilyBasis:
    names = question.outcome.name, (question.treatment.name, *given)
    most, knots = samples // 2 // RECORDS_PER_FEATURE, _knots(model)
    most_splines = min(most, MOST_SPLINES)
    if all(name in knots or not model.schema[name].is_numeric for name in names[1]):
        for step in SPACINGS:
            thinned = {name: own[step // 2 :: step] for name, own in knots.items()}
            family = family_of_knots(model.schema, *names, ranges=model.ranges, knots=thinned)
            if family.basis.num_features <= most_splines:
                return family.basis
    bases = [
        family_of_degree(model.schema, *names, ranges=model.ranges, degree=degree).basis
        for degree in (2, 1)
    ]
    return bases[0] if bases[0].num_features <= most else bases[1]


def _knots(model: StructuralCausalModel) -> dict[str, Knots]:
    """Knots of every variable that is a parent in a closed form with splines."""
    if not isinstance(model.engine, GramModel):
        return {}
    families = [mechanism.family for mechanism in model.engine.mechanisms.values()]
    return {name: own for f in families for name, own in f.basis.knots.items()}


def _set(
    columns: Mapping[str, FloatArray], question: Contrast, code: float
) -> dict[str, FloatArray]:
    name = question.treatment.name
    return {**columns, name: np.full_like(columns[name], code)}


def _named(formula: Estimand) -> frozenset[str]:
    if isinstance(formula, Conditional):
        return frozenset((*formula.of, *formula.given))
    if isinstance(formula, Sum):
        return _named(formula.of) | frozenset(formula.over)
    parts = formula.terms if isinstance(formula, Product) else (formula.above, formula.below)
    return frozenset(name for part in parts for name in _named(part))
