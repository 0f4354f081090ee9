"""Influence values of the doubly robust estimate of an effect, record by record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedcausal.data.table import Table, TableSource
from fedcausal.effects.population_name import POOLED
from fedcausal.errors import ProtocolError
from fedcausal.model.families import checked_knots
from fedcausal.model.family_basis import (
    UNIT,
    Family,
    FloatArray,
    Range,
    family_basis,
    family_of_degree,
    family_of_knots,
)
from fedcausal.model.mechanism import LEAST_PROBABILITY
from fedcausal.schema import Schema
from fedcausal.study import Study
from fedcausal.study_file.sections import EffectQuery
from fedcausal_privacy.canonical import JsonValue

__all__ = [
    "CHUNK_ROWS",
    "COEFFICIENT_STEPS",
    "Influence",
    "Offsets",
    "in_units",
    "influence_from_json",
]

CHUNK_ROWS = 2**14

COEFFICIENT_STEPS = 2.0**24
"""Coefficients are multiples of 2^-24, so that sums with quantised features are exact."""

MAX_COEFFICIENT = 2.0**10
"""A larger coefficient of features within [-1, 1] is none of a fitted nuisance model."""

_KEYS = {"query", "parents", "degree", "knots", "propensity", "responses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """A site's own intercepts: of the two treatment probabilities and of the response."""

    propensity: tuple[float, float] = (0.0, 0.0)
    response: float = 0.0


NO_OFFSETS = Offsets()


@dataclass(frozen=True, kw_only=True, eq=False)
class Influence:
    r"""The influence values of one question, given both nuisance models.

    With e_x(z) the probability of treatment x and m_x(z) the expected outcome under do(x), both
    given the parents z of the treatment,

    .. math:: \psi_x = m_x(z) + \frac{1[X = x]}{e_x(z)} (y - m_x(z)),

    whose mean estimates E[Y | do(X = x)]. Numbers are scaled by their public range to [-1, 1], an
    outcome with levels is the indicator of its last one. e_x is held within [p, 1 - p] with
    p = `effects.propensity_clip`, m_x within the outcome's range.

    Attributes
    ----------
    query
        Position of the question in `effects.queries`.
    codes
        The levels (a, b) of the treatment that are compared.
    treatment, response
        The families of the treatment and of the outcome, both over the treatment's parents.
    propensity
        (1 + features of `treatment`, levels) coefficients.
    responses
        (2, 1 + features of `response`) coefficients of m_a and m_b.
    clip
        The public p.

    Assumptions: the parents of the treatment block every back-door path (they do in the graph);
    positivity; one of the two nuisance models is right. Privacy: coefficients come from released
    sums; the values stay at the site.

    References
    ----------
    Robins, Rotnitzky and Zhao (1994), JASA 89. Glynn and Quinn (2010), Political Analysis 18.
    """

    query: int
    codes: tuple[int, int]
    treatment: Family
    response: Family
    propensity: FloatArray = field(repr=False)
    responses: FloatArray = field(repr=False)
    clip: float

    @property
    def num_levels(self) -> int:
        """Levels of the treatment."""
        return self.treatment.num_levels

    @property
    def lowest(self) -> float:
        """The least value of the scaled outcome; the largest is 1."""
        return 0.0 if self.response.num_levels else -1.0

    @property
    def largest(self) -> float:
        """No influence value is larger, whatever the record."""
        return 1.0 + (1.0 - self.lowest) / self.clip

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The variables that a record must have."""
        return (self.treatment.node, self.response.node, *self.treatment.basis.parents)

    def unscaled(self, mean: float) -> float:
        """A mean of scaled outcomes in the outcome's units."""
        if self.response.num_levels:
            return mean
        low, high = self.response.known_range
        return low + 0.5 * (mean + 1.0) * (high - low)

    @property
    def unit(self) -> float:
        """The outcome's units per 1 of the scaled one."""
        if self.response.num_levels:
            return 1.0
        low, high = self.response.known_range
        return 0.5 * (high - low)

    def complete(self, source: TableSource) -> Iterator[dict[str, FloatArray]]:
        """The columns of the records that have every member, a chunk at a time."""
        for batch in source.batches():
            for piece in batch.batches(CHUNK_ROWS):
                yield self.columns_of(piece)

    def columns_of(self, batch: Table) -> dict[str, FloatArray]:
        """The columns of a batch's records that have every member."""
        columns = {name: batch.column(name) for name in self.members}
        complete = ~np.any([np.isnan(c) for c in columns.values()], axis=0)
        return {name: column[complete] for name, column in columns.items()}

    def levels(self, columns: Mapping[str, FloatArray]) -> NDArray[np.int64]:
        """Treatment codes."""
        return np.asarray(columns[self.treatment.node], dtype=np.int64)

    def values(
        self, columns: Mapping[str, FloatArray], offsets: Offsets = NO_OFFSETS
    ) -> FloatArray:
        """(num_records, 2): the influence values of a and b.

        Raises
        ------
        DataError
            A number lies outside its public range.
        """
        outcome, _ = self._response(columns)
        chances, means = self.models(columns, offsets)
        took = self._took(columns)
        return np.asarray(means + took * (outcome[:, None] - means) / chances)

    def models(
        self, columns: Mapping[str, FloatArray], offsets: Offsets = NO_OFFSETS
    ) -> tuple[FloatArray, FloatArray]:
        """Both nuisance models within their limits, each (num_records, 2): e_x and m_x."""
        _, means = self._response(columns)
        chances = self._chances(columns) + np.array(offsets.propensity)
        return (
            np.asarray(np.clip(chances, self.clip, 1.0 - self.clip)),
            np.asarray(np.clip(means + offsets.response, self.lowest, 1.0)),
        )

    def left_over(self, columns: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """What the models miss: (num_records, 2) of the treatment, (num_compared,) of the outcome.

        Their means over a site's records are the site's `Offsets`.
        """
        took = self._took(columns)
        outcome, means = self._response(columns)
        compared = took.any(axis=1)
        left = outcome - (took * means).sum(axis=1)
        return np.asarray(took - self._chances(columns)), np.asarray(left[compared])

    def to_json(self) -> dict[str, JsonValue]:
        """What a request carries of the question."""
        return {
            "query": self.query,
            "parents": list(self.treatment.basis.parents),
            "degree": self.treatment.basis.degree,
            "knots": {name: list(own) for name, own in self.treatment.basis.knots.items()},
            "propensity": self.propensity.tolist(),
            "responses": self.responses.tolist(),
        }

    def _took(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        levels: NDArray[np.int64] = self.levels(columns)[:, None]
        return np.asarray(levels == np.array(self.codes), dtype=np.float64)

    def _chances(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Probabilities of both levels, before the public clip."""
        features = self.treatment.quantise(columns)[:, : self.treatment.basis.num_features]
        raw = _linear(features, self.treatment.basis.units(), self.propensity)
        held = np.clip(raw, LEAST_PROBABILITY, 1.0)
        # One addition after another: the sum of a row is the same in every batch.
        total = sum((held[:, k] for k in range(self.num_levels)), np.zeros(len(held)))
        return np.asarray(held[:, list(self.codes)] / total[:, None])

    def _response(self, columns: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """The scaled outcome (num_records,) and both expectations (num_records, 2)."""
        quantised = self.response.quantise(columns)
        first = self.response.basis.num_features
        outcome = quantised[:, -1] / (1 if self.response.num_levels else UNIT)
        means = _linear(quantised[:, :first], self.response.basis.units(), self.responses.T)
        return np.asarray(outcome), means


def influence_from_json(study: Study, value: JsonValue, ranges: Mapping[str, Range]) -> Influence:
    """One question of a request, checked against the study that the site approved.

    Raises
    ------
    ProtocolError
        It is no question of the study, or its nuisance models have another shape.
    """
    if not isinstance(value, Mapping) or set(value) != _KEYS:
        raise ProtocolError(f"aipw: queries: expected {', '.join(sorted(_KEYS))} of each")
    query, schema = _query(study, value["query"]), study.schema()
    treatment, outcome = schema[query.treatment], schema[query.outcome]
    if not treatment.num_levels:
        raise ProtocolError(f"aipw: {treatment.name} has no levels to compare")
    parents = _parents(schema, value["parents"], {treatment.name, outcome.name})
    names = (treatment.name, outcome.name)
    if value["knots"] == {}:
        families = _polynomials(study, names, parents, ranges, value["degree"])
    else:
        knots = checked_knots(study, value["knots"], set(parents))
        families = (
            family_of_knots(schema, names[0], parents, ranges=ranges, knots=knots),
            family_of_knots(schema, names[1], parents, ranges=ranges, knots=knots),
        )
    codes = [treatment.categories.index(_text(level)) for level in query.values]
    return Influence(
        query=int(str(value["query"])),
        codes=(codes[0], codes[1]),
        treatment=families[0],
        response=in_units(families[1]),
        propensity=_numbers(
            value["propensity"], (1 + families[0].basis.num_features, treatment.num_levels)
        ),
        responses=_numbers(value["responses"], (2, 1 + families[1].basis.num_features)),
        clip=study.effects.propensity_clip,
    )


def in_units(family: Family) -> Family:
    """The family of an outcome in declared units: an effect is a difference of these."""
    if family.range is None:
        return family
    return replace(family, range=(family.range[0], family.range[1]))


def _query(study: Study, index: JsonValue) -> EffectQuery:
    queries = study.effects.queries
    if type(index) is not int or not 0 <= index < len(queries):
        raise ProtocolError("aipw: query: expected the number of a query of the study")
    if queries[index].population != POOLED:
        raise ProtocolError("aipw: query: expected one about the records of all sites")
    return queries[index]


def _text(level: float | str) -> str:
    return f"{level:g}" if isinstance(level, float) else level


def _parents(schema: Schema, value: JsonValue, taken: set[str]) -> list[str]:
    names = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [None]
    known = [name for name in schema.names if name in names]
    if len(known) != len(names) or taken & set(known):
        raise ProtocolError("aipw: parents: expected other variables of the study")
    return known


def _polynomials(
    study: Study,
    names: tuple[str, str],
    parents: Sequence[str],
    ranges: Mapping[str, Range],
    degree: JsonValue,
) -> tuple[Family, Family]:
    schema = study.schema()
    if type(degree) is not int or not 1 <= degree <= study.model.degree:
        raise ProtocolError("aipw: degree: expected one that the study allows")
    first = family_of_degree(schema, names[0], parents, ranges=ranges, degree=degree)
    second = family_basis(
        schema,
        names[1],
        parents,
        ranges=ranges,
        degree=study.model.degree,
        max_width=study.model.max_width,
    )
    return first, second


def _numbers(value: JsonValue, shape: tuple[int, int]) -> FloatArray:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.shape != shape or not (np.abs(numbers) <= MAX_COEFFICIENT).all():
        raise ProtocolError(f"aipw: expected {shape[0]} x {shape[1]} coefficients")
    return np.asarray(np.rint(numbers * COEFFICIENT_STEPS) / COEFFICIENT_STEPS)


def _linear(features: NDArray[np.int64], units: Sequence[int], slopes: FloatArray) -> FloatArray:
    """Intercept plus features times slopes, exact in any order of summation."""
    exact = features / np.array(units, dtype=np.float64)
    return np.asarray(slopes[0] + exact @ slopes[1:])
