"""Attempts to refute an effect, each of which a right estimate survives."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.contrast import Contrast, ask
from fedcausal.effects.identification import identify
from fedcausal.effects.observed_law import adjusted_means
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.model.open_edges import class_of
from fedcausal.model.scm import StructuralCausalModel
from fedcausal_privacy.canonical import JsonValue

__all__ = ["ASSUMPTIONS", "Refutation", "refute"]

FloatArray = NDArray[np.float64]
Columns = Mapping[str, FloatArray]

BATCHES = 20
"""Independent samples: the spread over them is the error of a check."""
Z_LEVEL = 4.0
"""Standard errors beyond which a check fails: by chance one in ten thousand does."""
TOLERANCE = 0.1
"""Share of the effect by which regressions on other variables, all approximate, may differ."""


ASSUMPTIONS = (
    "All records here are drawn from the model: the attempts test the adjustment and its "
    "regression, not the graph, and not whether the model is right about the sites' data.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refutation:
    """One attempt.

    Attributes
    ----------
    name
        "placebo", "random common cause", "another set" or "half of the records".
    expected, found, error
        What a right estimate gives, what came, and the standard error of their difference.
    holds
        Whether the two are within `Z_LEVEL` standard errors or `TOLERANCE` of the effect.
    sentence
        The attempt and its outcome in words.
    """

    name: str
    expected: float
    found: float
    error: float
    holds: bool
    sentence: str

    def to_json(self) -> dict[str, JsonValue]:
        """The attempt as a JSON object."""
        return {
            "name": self.name,
            "expected": self.expected,
            "found": self.found,
            "error": self.error,
            "holds": self.holds,
            "sentence": self.sentence,
        }


def refute(
    model: StructuralCausalModel,
    treatment: str,
    outcome: str,
    values: tuple[float | str, float | str],
    *,
    graph: Graph | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[Refutation, ...]:
    """Try to refute the adjusted effect on records that the model draws.

    Bounded in time: `BATCHES` samples of `samples` records, four regressions on each. What is
    tested is the adjustment and its regression; that the graph is right is not tested by it.

    Privacy: questions to a released model; nothing further leaves a site.

    Raises
    ------
    InputError
        Where adjustment does not identify the effect: there is no estimate to refute.
    """
    question = ask(model, treatment, outcome, values)
    judged = identify(graph or class_of(model.graph, model.learnt), treatment, outcome).require()
    if judged.means != "adjustment":
        raise InputError(
            f"effects: refutations are of adjusted effects; here: {judged.sentence.rstrip('.')}"
        )
    chosen, other = judged.adjustment_set, model.graph.parents(treatment)
    estimator = adjusted_means(model, question, chosen, samples=2 * samples)
    by_parents = adjusted_means(model, question, other, samples=2 * samples)
    rng = np.random.default_rng([seed, 7])
    with_noise = adjusted_means(model, question, chosen, samples=2 * samples, noise=rng)
    rows = []
    for _ in range(BATCHES):
        columns = model.engine.sample(samples, do={}, rng=rng)
        first = _difference(estimator(columns))
        rows.append(
            (
                first,
                _difference(estimator(_shuffled(columns, question, rng))),
                _difference(with_noise(columns)),
                _difference(by_parents(columns)),
                _difference(estimator({n: c[: samples // 2] for n, c in columns.items()})),
            )
        )
    found = np.array(rows)
    return _judge(question, found, chosen, other)


def _judge(
    question: Contrast, found: FloatArray, chosen: tuple[str, ...], other: tuple[str, ...]
) -> tuple[Refutation, ...]:
    own = found[:, 0]
    name = question.treatment.name
    sets = [", ".join(names) or "nothing" for names in (chosen, other)]
    return (
        _attempt(
            "placebo",
            found[:, 1],
            0.0 * own,
            f"With {name} shuffled among drawn records the effect is",
        ),
        _attempt(
            "random common cause",
            found[:, 2],
            own,
            "With a random variable among the adjusted ones the effect is",
        ),
        _attempt(
            "another set",
            found[:, 3],
            own,
            f"Adjusted for {sets[1]} instead of {sets[0]} the effect is",
        ),
        _attempt(
            "half of the records", found[:, 4], own, "On half as many drawn records the effect is"
        ),
    )


def _attempt(name: str, found: FloatArray, expected: FloatArray, start: str) -> Refutation:
    difference = found - expected
    error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
    off = abs(float(difference.mean()))
    holds = off <= max(Z_LEVEL * error, TOLERANCE * abs(float(expected.mean())), 1e-9)
    verdict = "as it should be" if holds else "which refutes the estimate"
    return Refutation(
        name=name,
        expected=float(expected.mean()),
        found=float(found.mean()),
        error=error,
        holds=holds,
        sentence=f"{start} {found.mean():.3g} (expected {expected.mean():.3g}), {verdict}.",
    )


def _difference(means: tuple[float, float]) -> float:
    return means[1] - means[0]


def _shuffled(columns: Columns, question: Contrast, rng: np.random.Generator) -> Columns:
    name = question.treatment.name
    return {**columns, name: rng.permutation(columns[name])}
