"""Through which mediators an effect runs: natural, controlled and path-specific effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedcausal.effects.contrast import Contrast, ask
from fedcausal.effects.identification import identify
from fedcausal.effects.wording import amount, what_changes
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Graph
from fedcausal.model.frames import value_code
from fedcausal.model.mechanics import Action, Columns, Mechanics, push
from fedcausal.model.open_edges import class_of, open_at, open_between, open_sentence
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import did_you_mean
from fedcausal_privacy.canonical import JsonValue

__all__ = ["CROSS_WORLDS", "Mediation", "controlled_effect", "mediate", "path_effect"]

FloatArray = NDArray[np.float64]
Ends = tuple[float | str, float | str]

CROSS_WORLDS = (
    "The graph is correct, and no hidden variable influences two of its variables.",
    "Noise is the same in all worlds: natural effects compare worlds never seen together.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mediation:
    """An effect in two parts: around the mediators, and through them.

    Attributes
    ----------
    mediators
        The variables between treatment and outcome whose share is asked for.
    total
        E[Y(b)] - E[Y(a)].
    direct
        Natural direct effect E[Y(b, M(a))] - E[Y(a)]: the mediators stay as under a.
    indirect
        Natural indirect effect E[Y(a, M(b))] - E[Y(a)]: the mediators alone change.
    reversed_indirect
        The indirect effect of going back, E[Y(b, M(a))] - E[Y(b)]: total = direct - this.
    errors
        Standard errors of the four by simulation.
    warnings
        Directions between the two that the data leave open, and the parts rest on.
    sentence
        The parts in words.
    """

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    total: float
    direct: float
    indirect: float
    reversed_indirect: float
    errors: tuple[float, float, float, float]
    assumptions: tuple[str, ...] = CROSS_WORLDS
    warnings: tuple[str, ...] = ()
    sentence: str

    def to_json(self) -> dict[str, JsonValue]:
        """The parts as a JSON object."""
        return {
            "treatment": self.treatment,
            "outcome": self.outcome,
            "mediators": list(self.mediators),
            "total": self.total,
            "direct": self.direct,
            "indirect": self.indirect,
            "reversed_indirect": self.reversed_indirect,
            "errors": list(self.errors),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "sentence": self.sentence,
        }


def mediate(
    model: StructuralCausalModel,
    treatment: str,
    outcome: str,
    values: Ends,
    *,
    mediators: Sequence[str] | None = None,
    samples: int = 4000,
    seed: int = 0,
) -> Mediation:
    """Split the effect of moving the treatment between two values over mediators.

    Without names, all variables on directed paths between the two are mediators.

    Assumptions: `CROSS_WORLDS`. Privacy: a question to a released model.

    Raises
    ------
    InputError
        For an unknown variable, or a mediator that is on no path between the two.
    IdentificationError
        Where the class of graphs that the data admit has several effects to be split.

    References
    ----------
    Pearl (2001), Direct and indirect effects, UAI.
    """
    question = ask(model, treatment, outcome, values)
    _refuse_class(model, treatment, outcome)
    between = _between(model.graph, treatment, outcome)
    chosen = between if mediators is None else tuple(mediators)
    for name in chosen:
        if name not in between:
            raise InputError(
                f"mediators: {name!r} is on no directed path from {treatment!r} to {outcome!r}"
                f"{did_you_mean(name, between)}"
            )
    mechanics = model.engine.mechanics()
    noise = mechanics.draw_noise(samples, np.random.default_rng(seed))
    first, second = (push(mechanics, noise, _set({treatment: c})) for c in question.codes)
    a, b = question.codes
    held = _world(mechanics, noise, {treatment: b}, {n: first[n] for n in chosen})
    moved = _world(mechanics, noise, {treatment: a}, {n: second[n] for n in chosen})
    plain, changed, around, through = (
        question.measured(world[outcome]) for world in (first, second, held, moved)
    )
    parts = [changed - plain, around - plain, through - plain, around - changed]
    found = _mediation(question, chosen, parts)
    return replace(
        found, warnings=open_sentence(open_between(model.graph, model.learnt, treatment, outcome))
    )


def controlled_effect(
    model: StructuralCausalModel,
    treatment: str,
    outcome: str,
    values: Ends,
    *,
    held: Mapping[str, float | str],
    samples: int = 4000,
    seed: int = 0,
) -> tuple[float, float]:
    """The controlled direct effect while other variables are set, and its standard error.

    E[Y | do(b, held)] - E[Y | do(a, held)]; several variables at once are exact.

    Raises
    ------
    InputError
        For an unknown variable or value.
    IdentificationError
        Where the data leave the direction of an edge at one of the set variables open.
    """
    question = ask(model, treatment, outcome, values)
    unknown = sorted(set(held) - set(model.graph.nodes))
    if unknown or {treatment, outcome} & set(held):
        name = unknown[0] if unknown else sorted({treatment, outcome} & set(held))[0]
        raise InputError(f"held: {name!r}: expected variables of the model other than the two")
    _refuse_open(open_at(model.graph, model.learnt, [treatment, *held]), "a controlled effect")
    codes = {n: value_code(model.schema[n], v, model.ranges.get(n)) for n, v in held.items()}
    mechanics = model.engine.mechanics()
    noise = mechanics.draw_noise(samples, np.random.default_rng(seed))
    first, second = (
        question.measured(push(mechanics, noise, _set({**codes, treatment: code}))[outcome])
        for code in question.codes
    )
    return _mean_and_error(second - first)


def path_effect(
    model: StructuralCausalModel,
    values: Ends,
    paths: Sequence[Sequence[str]],
    *,
    samples: int = 4000,
    seed: int = 0,
) -> tuple[float, float]:
    """The part of an effect that runs along some directed paths, and its standard error.

    Along the edges of the paths the treatment counts as b; along all others as a.

    Raises
    ------
    InputError
        When a path is none of the graph, or the edges of some make up another path as well.
    IdentificationError
        Where the data leave a direction between the two open.

    References
    ----------
    Avin, Shpitser and Pearl (2005), Identifiability of path-specific effects, IJCAI.
    """
    edges = _edges_of(model.graph, paths)
    treatment, outcome = paths[0][0], paths[0][-1]
    question = ask(model, treatment, outcome, values)
    _refuse_open(
        open_between(model.graph, model.learnt, treatment, outcome), "an effect along paths"
    )
    mechanics = model.engine.mechanics()
    noise = mechanics.draw_noise(samples, np.random.default_rng(seed))
    plain = push(mechanics, noise, _set({treatment: question.codes[0]}))
    mixed: Columns = dict(plain)
    mixed[treatment] = np.full(samples, question.codes[1])
    for name in mechanics.order:
        active = {p for p in mechanics.parents(name) if (p, name) in edges}
        if active and name != treatment:
            seen = {p: (mixed if p in active else plain)[p] for p in mechanics.parents(name)}
            mixed[name] = mechanics.evaluate(name, noise[name], seen)
    found = question.measured(mixed[outcome]) - question.measured(plain[outcome])
    return _mean_and_error(found)


def _refuse_class(model: StructuralCausalModel, treatment: str, outcome: str) -> None:
    """Parts of an effect that is one number only where a direction is settled."""
    judged = identify(class_of(model.graph, model.learnt), treatment, outcome).require()
    if judged.means == "class":
        raise IdentificationError(
            f"mediation: {judged.sentence.removesuffix('; the effect is given for each.')}: there "
            "is no one effect to split. Ask for the effect, which is given for each, or state the "
            "direction under knowledge"
        )


def _refuse_open(edges: Sequence[tuple[str, str]], what: str) -> None:
    if edges:
        raise IdentificationError(
            f"mediation: {what} is no one number here: {open_sentence(edges)[0]}"
        )


def _between(graph: Graph, treatment: str, outcome: str) -> tuple[str, ...]:
    found = graph.descendants(treatment) & graph.ancestors(outcome)
    return tuple(n for n in graph.nodes if n in found)


def _set(codes: Mapping[str, float]) -> dict[str, Action]:
    return {name: _constant(code) for name, code in codes.items()}


def _constant(code: float) -> Action:
    return lambda natural: np.full(len(natural), code)


def _given(values: FloatArray) -> Action:
    return lambda natural: values


def _world(
    mechanics: Mechanics,
    noise: Mapping[str, FloatArray],
    codes: Mapping[str, float],
    columns: Mapping[str, FloatArray],
) -> Columns:
    return push(mechanics, noise, _set(codes) | {n: _given(v) for n, v in columns.items()})


def _edges_of(graph: Graph, paths: Sequence[Sequence[str]]) -> set[tuple[str, str]]:
    if not paths or any(len(path) < 2 for path in paths):
        raise InputError("paths: expected one path or more, each of two variables or more")
    if len({(path[0], path[-1]) for path in paths}) > 1:
        raise InputError("paths: expected paths between the same two variables")
    edges = {pair for path in paths for pair in pairwise(path)}
    for a, b in sorted(edges):
        if a not in graph.nodes or b not in graph.nodes or a not in graph.parents(b):
            raise InputError(f"paths: {a} -> {b} is no edge of the model's graph")
    listed = {tuple(path) for path in paths}
    for path in _walks(edges, paths[0][0], paths[0][-1]):
        if path not in listed:
            raise InputError(
                f"paths: their edges make up {' -> '.join(path)} as well, and its share cannot be "
                "told apart; list it too, or leave one out"
            )
    return edges


def _walks(edges: set[tuple[str, str]], start: str, end: str) -> list[tuple[str, ...]]:
    if start == end:
        return [(end,)]
    following = [b for a, b in sorted(edges) if a == start]
    return [(start, *rest) for b in following for rest in _walks(edges, b, end)]


def _mean_and_error(values: FloatArray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _mediation(
    question: Contrast, mediators: tuple[str, ...], parts: Sequence[FloatArray]
) -> Mediation:
    found = [_mean_and_error(part) for part in parts]
    (total, direct, indirect, back), errors = zip(*found, strict=True)
    return Mediation(
        treatment=question.treatment.name,
        outcome=question.outcome.name,
        mediators=mediators,
        total=total,
        direct=direct,
        indirect=indirect,
        reversed_indirect=back,
        errors=errors,
        sentence=_split_in_words(question, mediators, (total, direct, indirect), errors),
    )


def _split_in_words(
    question: Contrast,
    mediators: tuple[str, ...],
    parts: tuple[float, float, float],
    errors: Sequence[float],
) -> str:
    """The parts, each with the standard error that drawing records leaves."""
    change, direct, indirect = (
        f"{amount(question, part)} (+- {amount(question, error)})"
        for part, error in zip(parts, errors, strict=False)
    )
    start = f"Of the change of {change} in {what_changes(question)}, "
    end = " Behind +- is the standard error of the simulation."
    if not mediators:
        return f"{start}all comes about directly: no mediator is between the two or named.{end}"
    stay = "stays as it was" if len(mediators) == 1 else "stay as they were"
    one = "it" if len(mediators) == 1 else "them"
    its = "its" if len(mediators) == 1 else "their"
    return (
        f"{start}{direct} comes about while {', '.join(mediators)} {stay} (direct), and "
        f"{amount(question, parts[0] - parts[1])} needs {one} to change as well; {its} change "
        f"alone does {indirect} (indirect).{end}"
    )
