"""What noise in the nuisance models does to a doubly robust estimate."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedcausal.effects.aipw import held_columns, nuisance
from fedcausal.effects.influence import Influence
from fedcausal.graph import Graph
from fedcausal.model.family_basis import Range
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import LevelMechanism, Mechanism
from fedcausal.model.noisy_family_gram import NoisyFamilyGram
from fedcausal.study import Study

__all__ = ["nuisance_error"]

RECORDS = 2000
REDRAWS = 60


def nuisance_error(
    study: Study,
    influence: Influence,
    engine: GramModel,
    noisy: Mapping[str, NoisyFamilyGram],
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
    noisy
        Per node, the Gram that its mechanism was fitted to, with the noise in it.

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
        other = _redrawn(engine, noisy, rng)
        mistaken = nuisance(study, other, _ranges(influence), influence.query, seed)
        wrong_chances, wrong_means = mistaken.models(columns)
        off = (1.0 - chances / wrong_chances) * (wrong_means - means)
        errors[k] = float((off[:, 1] - off[:, 0]).mean())
    return float(np.sqrt(np.mean(errors**2)))


def _ranges(influence: Influence) -> dict[str, Range]:
    return {**influence.treatment.basis.ranges, **influence.response.basis.ranges}


def _redrawn(
    engine: GramModel, noisy: Mapping[str, NoisyFamilyGram], rng: np.random.Generator
) -> GramModel:
    """The model with coefficients drawn from their law; those of levels with their noise, too."""
    graph: Graph = engine.graph
    mechanisms = {
        name: _with_noise(mechanism.resampler()(rng), noisy[name], rng)
        for name, mechanism in engine.mechanisms.items()
    }
    return GramModel(graph=graph, schema=engine.schema, mechanisms=mechanisms)


def _with_noise(
    mechanism: Mechanism, noisy: NoisyFamilyGram, rng: np.random.Generator
) -> Mechanism:
    """Noise of a Gram in slopes of levels; the covariance of a number's slopes has it already."""
    if not isinstance(mechanism, LevelMechanism) or not noisy.gram.family.basis.num_features:
        return mechanism
    slopes = mechanism.coefficients[1:]
    shift = noisy.slope_noise(slopes, rng)
    moved = np.concatenate([-(noisy.gram.means[: len(slopes)] @ shift)[None, :], shift])
    return replace(mechanism, coefficients=mechanism.coefficients + moved)
