"""Whether a graph identifies an effect, by which means, and if not, why not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from fedcausal.effects.adjustment import (
    minimal_adjustment_set,
    non_causal_path,
    optimal_adjustment_set,
)
from fedcausal.effects.ancestral import adjust_in_pag
from fedcausal.effects.class_effects import is_amenable, possible_parent_sets, possibly_causes
from fedcausal.effects.estimand import Estimand
from fedcausal.effects.front_door import front_door_set
from fedcausal.effects.id_algorithm import Hedge, identify_law
from fedcausal.effects.mixed_graph import MixedGraph
from fedcausal.equivalence import extension
from fedcausal.errors import IdentificationError, InputError
from fedcausal.graph import Graph
from fedcausal.schema import did_you_mean

__all__ = ["Identification", "Means", "Pairs", "identify"]

Means = Literal["no-path", "adjustment", "front-door", "formula", "class", "none"]
Pairs = Sequence[Collection[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What a graph says of the effect of one variable on another.

    Attributes
    ----------
    treatment, outcome
        The question.
    means
        "no-path" (the effect is 0), "adjustment", "front-door", "formula" (another formula of the
        observed law), "class" (the graph stands for several DAGs, whose effects differ), "none".
    adjustment_set
        With "adjustment": the set with the least variance where the graph has one, else a minimal
        one. With "front-door": the mediators.
    minimal_set
        With "adjustment": a set of which no part would do.
    parent_sets
        With "class": the parents that the treatment may have.
    formula
        With "front-door" and "formula": P(outcome | do(treatment)); None otherwise.
    sentence
        All this in words.
    """

    treatment: str
    outcome: str
    means: Means
    adjustment_set: tuple[str, ...] = ()
    minimal_set: tuple[str, ...] = ()
    parent_sets: tuple[tuple[str, ...], ...] = ()
    formula: Estimand | None = None
    sentence: str

    @property
    def is_identified(self) -> bool:
        """Whether the effect is one number."""
        return self.means not in ("class", "none")

    def require(self) -> "Identification":
        """Itself; an effect that no data of this kind show is an `IdentificationError`."""
        if self.means == "none":
            raise IdentificationError(self.sentence)
        return self


def identify(graph: Graph, treatment: str, outcome: str, *, hidden: Pairs = ()) -> Identification:
    """Judge the effect of `treatment` on `outcome` by a DAG, a CPDAG or a PAG.

    Parameters
    ----------
    graph
        The causal graph, or the class that the data admit.
    hidden
        Pairs that a hidden variable may influence both of; beside a DAG only.

    Raises
    ------
    InputError
        For an unknown variable, a treatment that is the outcome, or hidden pairs beside a class.

    Privacy: reads the graph only.

    References
    ----------
    As for `adjustment`, `front_door`, `id_algorithm`, `class_effects` and `ancestral`.

    Examples
    --------
    >>> graph = Graph.dag("axy", [("a", "x"), ("a", "y"), ("x", "y")])
    >>> identify(graph, "x", "y").adjustment_set
    ('a',)
    """
    _check(graph, treatment, outcome, hidden)
    if graph.kind == "pag":
        return _in_pag(graph, treatment, outcome)
    if graph.kind == "dag" or not graph.undirected_edges:
        dag = graph if graph.kind == "dag" else extension(graph)
        return _in_mixed_graph(MixedGraph.of(dag, hidden), treatment, outcome)
    return _in_class(graph, treatment, outcome)


def _check(graph: Graph, treatment: str, outcome: str, hidden: Pairs) -> None:
    named = [("treatment", treatment), ("outcome", outcome)]
    named += [("hidden", name) for pair in hidden for name in pair]
    for key, name in named:
        if name not in graph.nodes:
            hint = did_you_mean(name, graph.nodes)
            raise InputError(f"effects.{key}: unknown variable {name!r}{hint}")
    if treatment == outcome:
        raise InputError(f"effects: treatment and outcome are both {treatment!r}; name two")
    if any(len(set(pair)) != 2 for pair in hidden):
        raise InputError("effects.hidden: expected pairs of two different variables")
    if hidden and (graph.kind == "pag" or graph.undirected_edges):
        raise InputError(
            f"effects.hidden: hidden causes are stated beside a single graph, got a {graph.kind}; "
            "fix the directions under knowledge, or leave hidden out"
        )


def _in_mixed_graph(graph: MixedGraph, treatment: str, outcome: str) -> Identification:
    if outcome not in graph.descendants([treatment]):
        return _no_path(treatment, outcome)
    minimal = minimal_adjustment_set(graph, [treatment], [outcome])
    if minimal is not None:
        best = optimal_adjustment_set(graph, [treatment], [outcome])
        chosen = _ordered(graph.nodes, minimal if best is None else best)
        which = "smallest set" if best is None else "set with the least variance"
        return Identification(
            treatment=treatment,
            outcome=outcome,
            means="adjustment",
            adjustment_set=chosen,
            minimal_set=_ordered(graph.nodes, minimal),
            sentence=_by_adjustment(chosen, which),
        )
    return _by_formula(graph, treatment, outcome)


def _by_formula(graph: MixedGraph, treatment: str, outcome: str) -> Identification:
    law = identify_law(graph, [treatment], [outcome])
    if isinstance(law, Hedge):
        path = non_causal_path(graph, [treatment], [outcome], ())
        return _refused(treatment, outcome, f"{law}; the path {path} stays open")
    mediators = front_door_set(graph, treatment, outcome)
    through = "" if mediators is None else f" through {', '.join(sorted(mediators))}"
    return Identification(
        treatment=treatment,
        outcome=outcome,
        means="formula" if mediators is None else "front-door",
        adjustment_set=_ordered(graph.nodes, mediators or frozenset()),
        formula=law,
        sentence=(
            f"Identified, though no adjustment is enough: "
            f"{'a formula of the observed law' if not through else 'by the front door' + through}"
            f", P({outcome} | do({treatment})) = {law}."
        ),
    )


def _in_class(graph: Graph, treatment: str, outcome: str) -> Identification:
    if not possibly_causes(graph, treatment, outcome):
        return _no_path(treatment, outcome)
    if is_amenable(graph, treatment, outcome):
        return _in_mixed_graph(MixedGraph.of(extension(graph)), treatment, outcome)
    sets = possible_parent_sets(graph, treatment)
    open_edges = ", ".join(f"{treatment} -- {name}" for name in graph.neighbours(treatment))
    return Identification(
        treatment=treatment,
        outcome=outcome,
        means="class",
        parent_sets=sets,
        sentence=(
            f"Not one number: the data leave the direction of {open_edges} open, and {treatment} "
            f"has one of {len(sets)} sets of parents; the effect is given for each."
        ),
    )


def _in_pag(graph: Graph, treatment: str, outcome: str) -> Identification:
    found = adjust_in_pag(graph, treatment, outcome)
    if found.is_zero:
        return _no_path(treatment, outcome)
    if found.adjustment_set is None:
        return _refused(treatment, outcome, found.reason)
    chosen = _ordered(graph.nodes, found.adjustment_set)
    return Identification(
        treatment=treatment,
        outcome=outcome,
        means="adjustment",
        adjustment_set=chosen,
        minimal_set=chosen,
        sentence=_by_adjustment(chosen, "smallest set"),
    )


def _no_path(treatment: str, outcome: str) -> Identification:
    return Identification(
        treatment=treatment,
        outcome=outcome,
        means="no-path",
        sentence=f"Identified: no path of causes leads from {treatment} to {outcome}.",
    )


def _refused(treatment: str, outcome: str, reason: str) -> Identification:
    return Identification(
        treatment=treatment,
        outcome=outcome,
        means="none",
        sentence=(
            f"the effect of {treatment} on {outcome} is not identified from this graph: {reason}. "
            "No amount of such data shows it; randomise, measure the hidden cause, or state what "
            "is known under knowledge"
        ),
    )


def _by_adjustment(chosen: tuple[str, ...], which: str) -> str:
    if not chosen:
        return "Identified: nothing confounds the two, so that no adjustment is needed."
    return f"Identified by adjustment for {', '.join(chosen)} (the {which})."


def _ordered(nodes: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    return tuple(n for n in nodes if n in names)
