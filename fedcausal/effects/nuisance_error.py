"""What noise in the nuisance models does to a doubly robust estimate."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedcausal.effects.aipw import held_columns, nuisance
from fedcausal.effects.influence import Influence
from fedcausal.graph import Graph
from fedcausal.model.family_basis import FloatArray, Range
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, Mechanism
from fedcausal.study import Study

__all__ = ["nuisance_error"]

RECORDS = 2000
REDRAWS = 60


def nuisance_error(
    study: Study,
    influence: Influence,
    engine: GramModel,
    grams: Mapping[str, FamilyGram],
    noise: Mapping[str, float],
    *,
    seed: int,
) -> float:
    r"""The error (sd, scaled units) that mistaken nuisance models leave in the estimate.

    With \hat e, \hat m in the place of e, m the mean of psi_x is off by
    :math:`E[(1 - e_x / \hat e_x)(\hat m_x - m_x)]`: a product of two errors, which vanishes with
    exact sums of many records and does not under noise. The fitted models stand for the true ones
    here, and for the mistaken ones the same with coefficients drawn from their law, noise
    included; the expectation is over the model's own records.

    Parameters
    ----------
    noise
        Per node, the standard deviation of a product in its noisy Gram.

    Privacy: reads what was released; free of further cost.

    References
    ----------
    Robins and Rotnitzky (2001), Statistica Sinica 11 (the product form of the error).
    """
    rng = np.random.default_rng([seed, influence.query, 4])
    columns = held_columns(influence, engine.sample(RECORDS, do={}, rng=rng))
    chances, means = influence.models(columns)
    errors = np.empty(REDRAWS)
    for k in range(REDRAWS):
        other = _redrawn(engine, grams, noise, rng)
        mistaken = nuisance(study, other, _ranges(influence), influence.query, seed)
        wrong_chances, wrong_means = mistaken.models(columns)
        off = (1.0 - chances / wrong_chances) * (wrong_means - means)
        errors[k] = float((off[:, 1] - off[:, 0]).mean())
    return float(np.sqrt(np.mean(errors**2)))


def _ranges(influence: Influence) -> dict[str, Range]:
    return {**influence.treatment.basis.ranges, **influence.response.basis.ranges}


def _redrawn(
    engine: GramModel,
    grams: Mapping[str, FamilyGram],
    noise: Mapping[str, float],
    rng: np.random.Generator,
) -> GramModel:
    """The model with coefficients drawn from their law; those of levels with their noise, too."""
    graph: Graph = engine.graph
    mechanisms = {
        name: _with_noise(mechanism.resampler()(rng), grams[name], noise.get(name, 0.0), rng)
        for name, mechanism in engine.mechanisms.items()
    }
    return GramModel(graph=graph, schema=engine.schema, mechanisms=mechanisms)


def _with_noise(
    mechanism: Mechanism, gram: FamilyGram, noise: float, rng: np.random.Generator
) -> Mechanism:
    """Noise of a Gram in slopes of levels; the covariance of a number's slopes has it already."""
    first = gram.family.basis.num_features
    if not isinstance(mechanism, LevelMechanism) or not first or noise <= 0.0:
        return mechanism
    inner = gram.products[:first, :first] + noise * np.sqrt(first) * np.eye(first)
    slopes = mechanism.coefficients[1:]
    sizes = noise * np.sqrt(1.0 + np.square(slopes).sum(axis=0))
    shift: FloatArray = np.linalg.solve(inner, rng.standard_normal(slopes.shape) * sizes)
    moved = np.concatenate([-(gram.means[:first] @ shift)[None, :], shift])
    return replace(mechanism, coefficients=mechanism.coefficients + moved)
