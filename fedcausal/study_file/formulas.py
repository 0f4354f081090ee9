"""Checks of the formulas of a study against its variables and its knowledge."""

from collections.abc import Iterator, Mapping

from fedcausal.errors import FedCausalError, InputError
from fedcausal.formats.reading import read_graph
from fedcausal.model.formula import Formula
from fedcausal.schema import Kind, Schema, did_you_mean
from fedcausal.study_file.errors import Problem
from fedcausal.study_file.sections import KnowledgeSection, ModelSection
from fedcausal.study_file.variables import VariableSpec

__all__ = ["formula_edges", "formula_problems", "formulas_of"]


def formulas_of(variables: Mapping[str, VariableSpec]) -> dict[str, Formula]:
    """The formula of every variable that has one."""
    return {
        name: Formula.parse(spec.formula)
        for name, spec in variables.items()
        if spec.formula is not None
    }


def formula_edges(
    variables: Mapping[str, VariableSpec],
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Edges that the formulas require and forbid: a variable's causes are those it is made of."""
    required, forbidden = list[tuple[str, str]](), list[tuple[str, str]]()
    for name, formula in sorted(formulas_of(variables).items()):
        required += [(cause, name) for cause in formula.names]
        others = (n for n in variables if n != name and n not in formula.names)
        forbidden += [(other, name) for other in others]
    return tuple(required), tuple(forbidden)


def formula_problems(
    schema: Schema,
    variables: Mapping[str, VariableSpec],
    knowledge: KnowledgeSection,
    model: ModelSection,
) -> Iterator[Problem]:
    """Everything wrong with the formulas, as (key, message)."""
    for name, spec in variables.items():
        if spec.formula is None:
            continue
        key = f"variables.{name}.formula"
        try:
            formula = Formula.parse(spec.formula)
        except InputError as error:
            yield key, str(error)
            continue
        if spec.kind is not Kind.CONTINUOUS:
            yield key, f"only a continuous variable follows from a formula, got {spec.kind.value}"
        for cause in formula.names:
            if cause not in schema:
                yield key, f"unknown variable {cause!r}{did_you_mean(cause, schema.names)}"
            elif cause == name or not schema[cause].is_numeric:
                yield key, f"{cause!r} is the variable itself, or no number; use other numbers"
        if model.family == "nodeflow":
            yield key, 'the neural flow learns every mechanism; write model.family = "gram"'
        if knowledge.graph is not None:
            yield from _outside_graph(key, name, formula, knowledge.graph)


def _outside_graph(key: str, name: str, formula: Formula, text: str) -> Iterator[Problem]:
    """A given graph must say the same causes."""
    try:
        graph = read_graph(text)
    except FedCausalError:  # the text is refused with its own reason when the study starts
        return
    if name in graph.nodes and set(graph.parents(name)) != set(formula.names):
        found = ", ".join(graph.parents(name)) or "none"
        yield (
            key,
            f"the formula is made of {', '.join(formula.names)}, and knowledge.graph has the "
            f"causes {found}; give the graph the same",
        )
