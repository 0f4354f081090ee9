"""Effects by simulation of the model under both actions, with common noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.contrast import Contrast
from fedcausal.effects.target import FEWEST, Target, effective_records
from fedcausal.errors import InputError
from fedcausal.model.count_mechanism import CountMechanism
from fedcausal.model.engine import Engine
from fedcausal.model.ensemble import EnsembleModel, spread_between
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanics import Action, push
from fedcausal.model.mechanism import LevelMechanism, NumericMechanism
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Kind

__all__ = ["INTERVAL_SAMPLES", "Asked", "Responses", "responses", "sampling_spread"]

FloatArray = NDArray[np.float64]

INTERVAL_SAMPLES = 1000
"""Records per coefficient draw: the noise is common to all draws, so few are enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to a model, about whom it is, and how much is drawn to answer it."""

    model: StructuralCausalModel
    question: Contrast
    values: tuple[float | str, float | str]
    hidden: Sequence[Sequence[str]]
    target: Target
    draws: int
    samples: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """The outcome of each record under either action, and how much the record counts.

    Attributes
    ----------
    first, second
        (num_records,) the outcome, or the probability of its level.
    weights
        (num_records,) summing to 1.
    """

    first: FloatArray
    second: FloatArray
    weights: FloatArray

    @property
    def means(self) -> tuple[float, float]:
        """The weighted means under either action."""
        return float(self.weights @ self.first), float(self.weights @ self.second)

    @property
    def error(self) -> float:
        """The simulation's standard error of the difference of the means."""
        difference = self.second - self.first
        residual = difference - self.weights @ difference
        return float(np.sqrt(np.sum((self.weights * residual) ** 2)))


def responses(asked: Asked) -> Responses:
    """Simulate both actions.

    Raises
    ------
    InputError
        When hardly a record is like those who are asked about.
    """
    engine = asked.model.engine
    if isinstance(engine, GramModel):
        engine, size = _part(engine, asked), asked.target.size(asked.samples)
        noise = engine.draw_noise(size, np.random.default_rng(asked.seed))
        return _pushed(engine, asked, noise, size)
    if asked.target.records:
        return _standardised(asked)
    question, held = asked.question, asked.target.given
    first, second = (
        engine.sample(
            asked.samples,
            do={**held, question.treatment.name: code},
            rng=np.random.default_rng(asked.seed),
        )
        for code in question.codes
    )
    logs = asked.target.log_weights(engine, question, second)
    name = question.outcome.name
    return _weighted(question.measured(first[name]), question.measured(second[name]), logs)


def sampling_spread(
    asked: Asked,
) -> tuple[float, Literal["sampling", "simulation", "ensemble"]]:
    """Standard deviation of the effect: over draws of the coefficients, or between members."""
    if isinstance(asked.model.engine, EnsembleModel):
        answers = [responses(_of_member(asked, m)).means for m in asked.model.engine.members]
        return spread_between([second - first for first, second in answers]), "ensemble"
    if not isinstance(asked.model.engine, GramModel):
        return 0.0, "simulation"
    engine = _part(asked.model.engine, asked)
    samples = asked.samples
    if asked.target.is_everybody:
        samples = min(samples, INTERVAL_SAMPLES)
    samples = asked.target.size(samples)
    rng = np.random.default_rng([asked.seed, 1])
    noise, redraw = engine.draw_noise(samples, rng), engine.resampler()
    effects = np.empty(asked.draws)
    for k in range(asked.draws):
        first, second = _pushed(redraw(rng), asked, noise, samples).means
        effects[k] = second - first
    return float(np.std(effects, ddof=1)), "sampling"


def _standardised(asked: Asked) -> Responses:
    """A neural model under both actions, node by node, with the records' covariates held."""
    mechanics, question = asked.model.engine.mechanics(), asked.question
    size = asked.target.size(asked.samples)
    noise = mechanics.draw_noise(size, np.random.default_rng(asked.seed))
    held = {name: np.full(size, own) for name, own in asked.target.held(size).items()}
    found = []
    for code in question.codes:
        given = {**held, question.treatment.name: np.full(size, code)}
        columns = push(mechanics, noise, {n: _giving(values) for n, values in given.items()})
        found.append(question.measured(columns[question.outcome.name]))
    return _weighted(found[0], found[1], np.full(size, -np.log(size)))


def _giving(values: FloatArray) -> Action:
    return lambda natural: values


def _of_member(asked: Asked, member: Engine) -> Asked:
    """The same question to one member alone, with the same noise."""
    return replace(asked, model=replace(asked.model, engine=member))


def _part(engine: GramModel, asked: Asked) -> GramModel:
    """The nodes that matter: other ones influence neither outcome nor weights."""
    names = {asked.question.outcome.name, *asked.target.given, *asked.target.means}
    return engine.ancestral(asked.question.treatment.name, *sorted(names))


def _pushed(
    engine: GramModel, asked: Asked, noise: Mapping[str, FloatArray], samples: int
) -> Responses:
    name, held = asked.question.treatment.name, asked.target.held(samples)
    first, second = (
        engine.push(noise, samples, do={**held, name: code}) for code in asked.question.codes
    )
    logs = asked.target.log_weights(engine, asked.question, second)
    return _weighted(
        _expected(engine, asked.question, first), _expected(engine, asked.question, second), logs
    )


def _weighted(first: FloatArray, second: FloatArray, logs: FloatArray) -> Responses:
    records = effective_records(logs)
    if records < min(FEWEST, len(logs)):
        raise InputError(
            f"effects: of {len(logs)} simulated records about {records:.0f} are like those who "
            "are asked about; raise samples, or ask about a more common group"
        )
    return Responses(first=first, second=second, weights=np.exp(logs))


def _expected(
    engine: GramModel, question: Contrast, columns: Mapping[str, FloatArray]
) -> FloatArray:
    """The outcome's expectation given its simulated parents: less noise than its draw."""
    name = question.outcome.name
    mechanism, shape = engine.mechanisms[name], columns[name].shape
    if isinstance(mechanism, LevelMechanism):
        return np.broadcast_to(mechanism.probabilities(columns)[..., -1], shape)
    if isinstance(mechanism, CountMechanism):
        return np.broadcast_to(mechanism.mean(columns), shape)
    variable = question.outcome
    is_rounded = variable.kind is Kind.ORDINAL and bool(variable.categories)
    # Of a transformed number the mean residual gives the median, not the mean.
    is_bent = variable.transform is not None
    if is_rounded or is_bent or not isinstance(mechanism, NumericMechanism):
        return columns[name]
    return np.broadcast_to(mechanism.predict(np.zeros(shape), columns), shape)
