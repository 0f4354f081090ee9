"""What a model says of one variable among the records with given values of others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.target import FEWEST, Values, effective_records, log_total
from fedcausal.effects.wording import Interval
from fedcausal.errors import InputError
from fedcausal.model.engine import Engine
from fedcausal.model.ensemble import EnsembleModel, spread_between
from fedcausal.model.frames import do_codes, value_name
from fedcausal.model.gram_model import GramModel
from fedcausal.model.open_edges import open_at, open_sentence
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Variable, did_you_mean
from fedcausal_privacy.canonical import JsonValue

__all__ = ["ConditionalLaw", "conditional_law"]

FloatArray = NDArray[np.float64]
Columns = Mapping[str, FloatArray]

Z_95 = 1.959963984540054
ENOUGH = 1000
"""Effective records with which no more are drawn."""
MOST_DOUBLINGS = 3
NEAR = 0.25
"""Standard deviations within which a drawn number is near a given one."""
REDRAWN_RECORDS = 2_000_000
"""Records drawn over all redrawn coefficients, at most."""
MOST_DRAWS, FEWEST_DRAWS = 60, 20
QUANTILES = (0.05, 0.5, 0.95)

OBSERVED = (
    "The model is right about the joint law of the variables; the directions of its edges do not "
    "matter here.",
    "This is what is seen among such records, no effect: who has other values may differ in more.",
)
UNDER_DO = (
    "The graph is correct and has no hidden common cause.",
    "The given values are those that are seen after the action.",
)
SAME = "Mechanisms are the same at all sites, apart from an intercept."


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalLaw:
    """P(outcome | given), under do() if something is done: what is seen, not what would change.

    Attributes
    ----------
    outcome, given, do
        The question.
    mean, sd, quantiles
        Of a number: its mean, standard deviation, and the values below which 5, 50 and 95 % of
        the records lie; None and empty for levels.
    probabilities
        Of levels: one for each.
    intervals
        95 % intervals, of the mean under "mean" or of each level's probability under its name:
        estimate +- 1.96 standard deviations, of the simulation and, where `interval_kind` says
        so, of the coefficients or of the members of an ensemble.
    interval_kind
        "sampling", "ensemble" or "simulation", as with an effect.
    records, effective_records
        How many were drawn, and how many of equal weight would tell as much.
    assumptions, warnings, sentence
        What the answer rests on, which directions of it the data leave open, and it in words.
    """

    outcome: str
    given: Mapping[str, float | str]
    do: Mapping[str, float | str] = field(default_factory=dict)
    mean: float | None = None
    sd: float | None = None
    quantiles: Mapping[float, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval]
    interval_kind: str
    records: int
    effective_records: float
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    sentence: str

    def to_json(self) -> dict[str, JsonValue]:
        """The law as a JSON object."""
        return {
            "outcome": self.outcome,
            "given": dict(self.given),
            "do": dict(self.do),
            "mean": self.mean,
            "sd": self.sd,
            "quantiles": {f"{share:g}": value for share, value in self.quantiles.items()},
            "probabilities": dict(self.probabilities),
            "intervals": {name: list(pair) for name, pair in self.intervals.items()},
            "interval_kind": self.interval_kind,
            "records": self.records,
            "effective_records": self.effective_records,
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The outcome of drawn records, and how much each counts."""

    outcome: FloatArray
    logs: FloatArray

    @property
    def effective(self) -> float:
        return effective_records(self.logs) if np.isfinite(self.logs.max()) else 0.0

    @property
    def weights(self) -> FloatArray:
        return np.asarray(np.exp(self.logs - log_total(self.logs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A checked question, in codes."""

    variable: Variable
    levels: frozenset[str]
    held: Mapping[str, float]
    done: Mapping[str, float]

    def drawn(self, engine: Engine, size: int, seed: Sequence[int]) -> _Drawn:
        """Records that have the given values, each with the likelihood of having them."""
        rng, do = np.random.default_rng(seed), {**self.held, **self.done}
        return self._weighed(engine, engine.sample(size, do=do, rng=rng))

    def pushed(self, engine: GramModel, noise: Columns, size: int) -> _Drawn:
        """The same from noise that is drawn already."""
        return self._weighed(engine, engine.push(noise, size, do={**self.held, **self.done}))

    def measures(self, found: _Drawn) -> FloatArray:
        """The mean of a number; the share of each level."""
        weights = found.weights
        if not self.variable.categories:
            return np.array([weights @ found.outcome])
        return np.array([weights[found.outcome == k].sum() for k in self._codes])

    def simulation_errors(self, found: _Drawn) -> FloatArray:
        """Standard errors of the measures by the records that were drawn."""
        weights, outcome = found.weights, found.outcome
        if self.variable.categories:
            values = np.array([outcome == k for k in self._codes], dtype=float)
        else:
            values = outcome[None, :]
        residual = values - (values @ weights)[:, None]
        return np.asarray(np.sqrt(np.sum((weights * residual) ** 2, axis=1)))

    @property
    def names(self) -> tuple[str, ...]:
        """What the measures are called."""
        return self.variable.categories or ("mean",)

    @property
    def _codes(self) -> range:
        return range(len(self.variable.categories))

    def _weighed(self, engine: Engine, columns: Columns) -> _Drawn:
        logs = engine.log_prob(columns)
        total = np.sum([logs[name] for name in self.held], axis=0)
        return _Drawn(columns[self.variable.name], np.asarray(total, dtype=np.float64))


def conditional_law(
    model: StructuralCausalModel,
    outcome: str,
    *,
    given: Values,
    do: Values | None = None,
    samples: int = 20_000,
    seed: int = 0,
) -> ConditionalLaw:
    """The law of `outcome` among the records with the values `given`, under do() if something is.

    Records are drawn with the given variables held at their values, and each counts as much as
    its own causes make them likely: exact for numbers too, without a band around their values.
    Where few count, up to 8 times as many are drawn. Where hardly a record comes near one of the
    values although it has the others, the densities there are no more than a guess: refused.

    Assumptions: listed with the answer. Privacy: a question to a released model; nothing further
    leaves a site.

    Raises
    ------
    InputError
        For an unknown variable or level, a value beyond the bounds, an outcome that is given, or
        values so rare that fewer than 30 effective records have them.

    References
    ----------
    Fung and Chang (1990), Weighing and integrating evidence for stochastic simulation in Bayesian
    networks (likelihood weighting). Kong (1992), A note on importance sampling using standardized
    weights (effective sample size).
    """
    done = do or {}
    _check(model, outcome, given, done)
    if samples < ENOUGH:
        raise InputError(f"query.samples: expected {ENOUGH} or more, got {samples}")
    asked = _Asked(
        variable=model.schema[outcome],
        levels=frozenset(n for n in given if model.schema[n].categories),
        held=do_codes(given, model.schema, model.ranges),
        done=do_codes(done, model.schema, model.ranges),
    )
    engine = _part(model.engine, [outcome, *given])
    for name in given:
        _refuse_rare(model, asked, _matches(asked, engine, name, samples, seed), samples)
    size, found = _enough(asked, engine, samples, seed)
    _refuse_rare(model, asked, found.effective, size)
    spread, kind = _spread(asked, engine, size, seed)
    half = Z_95 * np.hypot(asked.simulation_errors(found), spread)
    return _law(model, asked, found, half, kind, given, done)


def _check(
    model: StructuralCausalModel, outcome: str, given: Values, do: Mapping[str, float | str]
) -> None:
    named = [("outcome", outcome), *(("given", n) for n in given), *(("do", n) for n in do)]
    for key, name in named:
        if name not in model.graph.nodes:
            hint = did_you_mean(name, model.graph.nodes)
            raise InputError(f"query.{key}: unknown variable {name!r}{hint}")
    if not given:
        raise InputError("query.given: expected one value or more; without any, draw a sample")
    names = [name for _, name in named]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(f"query: {twice[0]!r} is named twice; ask for it, give it, or set it")


def _refuse_rare(model: StructuralCausalModel, asked: _Asked, records: float, size: int) -> None:
    if records < FEWEST:
        raise InputError(
            f"query.given: of {size} drawn records about {records:.0f} are like those with "
            f"{_words(model, asked.held)}; fewer than {FEWEST} tell too little. Give fewer "
            "values, or some that are more common"
        )


def _matches(asked: _Asked, engine: Engine, name: str, size: int, seed: int) -> float:
    """Effective records with the other values that come near this one of themselves."""
    value, others = asked.held[name], {n: c for n, c in asked.held.items() if n != name}
    rng = np.random.default_rng([seed, 2])
    columns = engine.sample(size, do={**others, **asked.done}, rng=rng)
    logs = np.zeros(size)
    if others:
        found = engine.log_prob(columns)
        logs = np.asarray(np.sum([found[n] for n in others], axis=0))
    drawn = _Drawn(columns[name], logs)
    if drawn.effective < FEWEST:
        return drawn.effective
    band = NEAR * float(np.std(drawn.outcome)) if name not in asked.levels else 0.0
    near = np.abs(drawn.outcome - value) <= band
    return drawn.effective * float(drawn.weights @ near)


def _part(engine: Engine, names: Sequence[str]) -> Engine:
    """The nodes that matter: what is below all of these has no say."""
    return engine.ancestral(*names) if isinstance(engine, GramModel) else engine


def _enough(asked: _Asked, engine: Engine, samples: int, seed: int) -> tuple[int, _Drawn]:
    size, found = samples, asked.drawn(engine, samples, [seed])
    for _ in range(MOST_DOUBLINGS):
        if found.effective >= ENOUGH:
            break
        size *= 2
        found = asked.drawn(engine, size, [seed])
    return size, found


def _spread(asked: _Asked, engine: Engine, size: int, seed: int) -> tuple[FloatArray, str]:
    """How the measures vary with the coefficients, or between the members of an ensemble."""
    if isinstance(engine, EnsembleModel):
        found, kind = [asked.drawn(m, size, [seed, 1]) for m in engine.members], "ensemble"
    elif isinstance(engine, GramModel):
        found, kind = list(_redrawn(asked, engine, size, seed)), "sampling"
    else:
        return np.zeros(len(asked.names)), "simulation"
    told = [asked.measures(one) for one in found if one.effective >= FEWEST]
    if len(told) < min(FEWEST_DRAWS, len(found)):
        raise InputError(
            "query.given: so rare are these values that no interval can be told; give fewer"
        )
    return np.array([spread_between(own) for own in np.transpose(told)]), kind


def _redrawn(asked: _Asked, engine: GramModel, size: int, seed: int) -> Iterator[_Drawn]:
    rng = np.random.default_rng([seed, 1])
    noise, redraw = engine.draw_noise(size, rng), engine.resampler()
    for _ in range(min(MOST_DRAWS, max(FEWEST_DRAWS, REDRAWN_RECORDS // size))):
        yield asked.pushed(redraw(rng), noise, size)


def _law(
    model: StructuralCausalModel,
    asked: _Asked,
    found: _Drawn,
    half: FloatArray,
    kind: str,
    given: Values,
    do: Values,
) -> ConditionalLaw:
    measures, has_levels = asked.measures(found), bool(asked.variable.categories)
    low, high = measures - half, measures + half
    if has_levels:
        low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
    ends = zip(low.tolist(), high.tolist(), strict=True)
    intervals = dict(zip(asked.names, ends, strict=True))
    mean = None if has_levels else float(measures[0])
    sd = None if mean is None else float(np.sqrt(found.weights @ (found.outcome - mean) ** 2))
    shares = dict(zip(asked.names, measures.tolist(), strict=True)) if has_levels else {}
    quantiles = {} if has_levels else _quantiles(found)
    told = _levels_in_words(shares, intervals, asked.variable.name)
    if mean is not None and sd is not None:
        told = _number_in_words(mean, sd, quantiles, intervals["mean"], asked.variable)
    start = f"Among records with {_words(model, asked.held)}"
    if do:
        start = f"Under do({_words(model, asked.done)}), among records with"
        start += f" {_words(model, asked.held)}"
    return ConditionalLaw(
        outcome=asked.variable.name,
        given=dict(given),
        do=dict(do),
        mean=mean,
        sd=sd,
        quantiles=quantiles,
        probabilities=shares,
        intervals=intervals,
        interval_kind=kind,
        records=len(found.outcome),
        effective_records=found.effective,
        assumptions=(*(UNDER_DO if do else OBSERVED), SAME),
        warnings=open_sentence(open_at(model.graph, model.learnt, do)),
        sentence=(
            f"{start}, {told}. {len(found.outcome)} records were drawn, worth "
            f"{found.effective:.0f} of such records."
        ),
    )


def _quantiles(found: _Drawn) -> dict[float, float]:
    order = np.argsort(found.outcome)
    below = np.cumsum(found.weights[order])
    places = np.minimum(np.searchsorted(below, QUANTILES), len(order) - 1)
    return dict(zip(QUANTILES, found.outcome[order][places].tolist(), strict=True))


def _words(model: StructuralCausalModel, codes: Mapping[str, float]) -> str:
    return " and ".join(f"{n} = {value_name(model.schema[n], c)}" for n, c in codes.items())


def _number_in_words(
    mean: float, sd: float, quantiles: Mapping[float, float], interval: Interval, of: Variable
) -> str:
    low, high = interval
    first, last = quantiles[QUANTILES[0]], quantiles[QUANTILES[-1]]
    return (
        f"{of.name} has the mean {value_name(of, mean)} (95 % interval {low:.4g} to {high:.4g}) "
        f"and the standard deviation {sd:.4g}; nine in ten have {first:.4g} to {last:.4g}"
    )


def _levels_in_words(
    shares: Mapping[str, float], intervals: Mapping[str, Interval], name: str
) -> str:
    parts = []
    for level, share in shares.items():
        low, high = intervals[level]
        parts.append(f"{level} with {share:.3g} ({low:.3g} to {high:.3g})")
    return f"{name} is {', '.join(parts)} as probabilities and 95 % intervals"
