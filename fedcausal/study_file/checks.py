"""Checks between the sections of a study: names, knowledge, queries."""

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from fedcausal.errors import FedCausalError
from fedcausal.formats.reading import read_graph
from fedcausal.schema import Kind, Schema, did_you_mean
from fedcausal.study_file.delta import delta_problems
from fedcausal.study_file.errors import Problem
from fedcausal.study_file.sections import (
    DiscoverySection,
    EffectsSection,
    KnowledgeSection,
    ModelSection,
    PrivacySection,
)

__all__ = ["problems_of"]


def problems_of(
    schema: Schema,
    knowledge: KnowledgeSection,
    effects: EffectsSection,
    privacy: PrivacySection,
    discovery: DiscoverySection,
    model: ModelSection,
) -> list[Problem]:
    """Everything wrong between the sections, as (key, message); empty when all is well."""
    unknown = [*_unknown_in_knowledge(schema, knowledge), *_unknown_in_effects(schema, effects)]
    if unknown:
        return unknown
    return [
        *_tier_problems(knowledge.tiers),
        *_edge_problems(knowledge),
        *_cycle_problems(knowledge.required),
        *_value_problems(schema, effects),
        *_outside_given_graph(schema, knowledge, effects),
        *_flop_problems(knowledge, discovery),
        *_table_problems(schema, discovery),
        *_private_graph_problems(schema, knowledge, privacy, discovery),
        *_private_model_problems(schema, privacy, model),
        *_private_effects_problems(schema, privacy, discovery),
        *delta_problems(privacy),
        *_calibration_problems(privacy, model),
        *_variance_problems(privacy, model),
        *_choice_problems(privacy, model),
        *_transform_problems(schema, privacy, model),
    ]


def _calibration_problems(privacy: PrivacySection, model: ModelSection) -> Iterator[Problem]:
    """Its histograms are exact counts: they have no place beside a budget."""
    if model.calibration > 0 and (privacy.model is not None or privacy.effects is not None):
        part = "model" if privacy.model is not None else "effects"
        yield (
            "model.calibration",
            f"held-out records are counted without noise, and privacy.{part} has an epsilon; "
            "remove one of the two",
        )


def _variance_problems(privacy: PrivacySection, model: ModelSection) -> Iterator[Problem]:
    """Sums of the sizes of residuals are exact: they have no place beside a budget."""
    if model.variance != "constant" and (privacy.model is not None or privacy.effects is not None):
        part = "model" if privacy.model is not None else "effects"
        yield (
            "model.variance",
            f"sums of the sizes of residuals have no noisy form, and privacy.{part} has an "
            'epsilon; write variance = "constant", or remove the epsilon',
        )


def _choice_problems(privacy: PrivacySection, model: ModelSection) -> Iterator[Problem]:
    """Held-out likelihoods are exact sums, and of one flow at most."""
    if model.mechanism != "auto":
        return
    if privacy.model is not None or privacy.effects is not None:
        part = "model" if privacy.model is not None else "effects"
        yield (
            "model.mechanism",
            f"held-out likelihoods have no noisy form, and privacy.{part} has an epsilon; write "
            'mechanism = "closed-form", or remove the epsilon',
        )
    if model.family == "nodeflow" and model.members > 1:
        yield (
            "model.mechanism",
            "mechanisms are chosen one by one, and an ensemble answers as a whole; write "
            'members = 1, or mechanism = "closed-form"',
        )


def _transform_problems(
    schema: Schema, privacy: PrivacySection, model: ModelSection
) -> Iterator[Problem]:
    """A transform is of the closed form without an epsilon."""
    part = "model" if privacy.model is not None else "effects"
    is_noisy = privacy.model is not None or privacy.effects is not None
    for variable in schema:
        if variable.transform is not None and is_noisy:
            yield (
                f"variables.{variable.name}.transform",
                f"transformed numbers have no noisy form, and privacy.{part} has an epsilon; "
                "remove one of the two, or give the sites' tables a column of the transformed "
                "number",
            )
        elif variable.transform is not None and model.family == "nodeflow":
            yield (
                f"variables.{variable.name}.transform",
                'the neural flow learns the law of a number itself; write family = "gram", or '
                "remove the key",
            )


def _flop_problems(knowledge: KnowledgeSection, discovery: DiscoverySection) -> Iterator[Problem]:
    """Its library knows no background knowledge: said before any site is asked for sums."""
    stated = [key for key in ("tiers", "required", "forbidden") if getattr(knowledge, key)]
    if discovery.algorithm == "flop" and stated and knowledge.graph is None:
        yield (
            "discovery.algorithm",
            f'"flop" takes no knowledge, and knowledge.{stated[0]} states some; write '
            'algorithm = "order-search"',
        )


def _table_problems(schema: Schema, discovery: DiscoverySection) -> Iterator[Problem]:
    """Tables need levels everywhere, and an algorithm that reads them."""
    if discovery.tests != "tables":
        if discovery.score != "bdeu":
            yield (
                "discovery.score",
                'the Gram has a block BIC of its own; write tests = "tables", or remove the key',
            )
        return
    if discovery.algorithm not in ("pc", "order-search"):
        yield (
            "discovery.tests",
            f'"{discovery.algorithm}" does not read tables; write algorithm = "order-search" '
            'or "pc"',
        )
    if discovery.resampling == "poisson":
        yield (
            "discovery.resampling",
            'replicates are of the Gram; with tests = "tables" remove the key',
        )
    if discovery.time_limit_seconds is not None and discovery.algorithm == "pc":
        yield (
            "discovery.time_limit_seconds",
            'nothing stops "pc" on tables; write algorithm = "order-search", or remove the key',
        )
    for variable in schema:
        if not variable.categories:
            yield (
                "discovery.tests",
                f"{variable.name!r} has no levels, and tables need them; give it categories, or "
                'write tests = "gram"',
            )


def _unknown_in_knowledge(schema: Schema, knowledge: KnowledgeSection) -> Iterator[Problem]:
    groups = {
        "tiers": knowledge.tiers,
        "required": knowledge.required,
        "forbidden": knowledge.forbidden,
    }
    for key, rows in groups.items():
        for i, names in enumerate(rows):
            for name in names:
                if name not in schema:
                    yield f"knowledge.{key}[{i}]", _unknown(name, schema)


def _unknown_in_effects(schema: Schema, effects: EffectsSection) -> Iterator[Problem]:
    for i, query in enumerate(effects.queries):
        for key, name in (("treatment", query.treatment), ("outcome", query.outcome)):
            if name not in schema:
                yield f"effects.queries[{i}].{key}", _unknown(name, schema)
        for name in query.means:
            if name not in schema:
                yield f"effects.queries[{i}].means", _unknown(name, schema)


def _outside_given_graph(
    schema: Schema, knowledge: KnowledgeSection, effects: EffectsSection
) -> Iterator[Problem]:
    """A graph that is given decides which variables the model has."""
    if knowledge.graph is None:
        return
    try:
        nodes = read_graph(knowledge.graph).nodes
    except FedCausalError:  # the text is refused with its own reason when the study starts
        return
    if not set(nodes) <= set(schema.names):  # and so is a graph of other variables
        return
    for i, query in enumerate(effects.queries):
        for key, name in (("treatment", query.treatment), ("outcome", query.outcome)):
            if name not in nodes:
                yield (
                    f"effects.queries[{i}].{key}",
                    f"{name!r} is not in knowledge.graph{did_you_mean(name, nodes)}; add it to "
                    "the graph, or ask about a variable that it has",
                )


def _unknown(name: str, schema: Schema) -> str:
    return f"unknown variable {name!r}{did_you_mean(name, schema.names)}"


def _tier_problems(tiers: Sequence[Sequence[str]]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for i, tier in enumerate(tiers):
        for name in tier:
            if name in seen:
                yield (
                    f"knowledge.tiers[{i}]",
                    f"{name!r} is in tier {seen[name]} already; name each variable once",
                )
            seen.setdefault(name, i)


def _edge_problems(knowledge: KnowledgeSection) -> Iterator[Problem]:
    forbidden = set(knowledge.forbidden)
    tier_of = {name: i for i, tier in enumerate(knowledge.tiers) for name in tier}
    for i, (cause, effect) in enumerate(knowledge.required):
        key, edge = f"knowledge.required[{i}]", f'["{cause}", "{effect}"]'
        if (cause, effect) in forbidden:
            yield key, f"{edge} is forbidden too; remove it from required or from forbidden"
        if tier_of.get(cause, 0) > tier_of.get(effect, len(knowledge.tiers)):
            yield key, f"{edge} points from a later tier to an earlier one; change either"
    for name, pairs in (("required", knowledge.required), ("forbidden", knowledge.forbidden)):
        for i, (cause, effect) in enumerate(pairs):
            if cause == effect:
                yield (
                    f"knowledge.{name}[{i}]",
                    f"{cause!r} cannot be its own cause; name two different variables",
                )


def _cycle_problems(required: Sequence[tuple[str, str]]) -> Iterator[Problem]:
    causes: dict[str, list[str]] = {}
    for cause, effect in required:
        if cause != effect:
            causes.setdefault(effect, []).append(cause)
    try:
        TopologicalSorter(causes).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        yield "knowledge.required", f"the edges form a cycle {cycle}; remove one of them"


def _value_problems(schema: Schema, effects: EffectsSection) -> Iterator[Problem]:
    for i, query in enumerate(effects.queries):
        variable, key = schema[query.treatment], f"effects.queries[{i}].values"
        for value in query.values:
            if variable.categories:
                text = f"{value:g}" if isinstance(value, float) else value
                if text not in variable.categories:
                    levels = ", ".join(f'"{level}"' for level in variable.categories)
                    yield key, f"{variable.name!r} has no level {text!r}; write two of {levels}"
            elif isinstance(value, str):
                yield key, f"{variable.name!r} is numeric, got {value!r}; write two numbers"
            elif variable.kind is Kind.COUNT and (value < 0 or value != round(value)):
                yield key, f"{variable.name!r} is a count, got {value:g}; write whole numbers"
            elif variable.bounds and not variable.bounds[0] <= value <= variable.bounds[1]:
                lo, hi = variable.bounds
                yield key, f"{value:g} is outside the bounds [{lo:g}, {hi:g}] of {variable.name!r}"


def _private_graph_problems(
    schema: Schema,
    knowledge: KnowledgeSection,
    privacy: PrivacySection,
    discovery: DiscoverySection,
) -> Iterator[Problem]:
    """What cannot be had together with an epsilon for the graph."""
    if privacy.graph is None or privacy.graph.epsilon is None:
        return
    for variable in schema:
        if variable.is_numeric and variable.bounds is None:
            yield (
                f"variables.{variable.name}.bounds",
                "differential privacy of the graph needs public bounds; write bounds = [lo, hi], "
                "what is possible, without looking at the data",
            )
    if discovery.heterogeneity:
        yield (
            "discovery.heterogeneity",
            "the sums of the sites' slopes have no noisy form; remove the key, or the epsilon of "
            "privacy.graph",
        )
    if knowledge.graph is not None:
        return
    if discovery.site_effects == "standardize":
        yield (
            "discovery.site_effects",
            '"standardize" divides by each site\'s own spread, which has no noisy form; write '
            'site_effects = "center" or "pool"',
        )
    if discovery.tests == "tables" and discovery.algorithm != "pc":
        yield (
            "discovery.algorithm",
            'scores of noisy tables are not in this version; write tests = "gram" (it finds more '
            'at one epsilon unless variables are few), or algorithm = "pc"',
        )
    if discovery.resampling == "poisson":
        yield (
            "discovery.resampling",
            'replicates of the same rows have no noisy form; write resampling = "wishart", or '
            "remove the epsilon of privacy.graph",
        )


def _private_model_problems(
    schema: Schema, privacy: PrivacySection, model: ModelSection
) -> Iterator[Problem]:
    """A closed form under an epsilon is scaled by what is public before any release."""
    if privacy.model is None or privacy.model.epsilon is None or model.family != "gram":
        return
    for variable in schema:
        if variable.is_numeric and variable.bounds is None:
            yield (
                f"variables.{variable.name}.bounds",
                "differential privacy of the closed-form model needs public bounds; write bounds "
                "= [lo, hi], what is possible, without looking at the data",
            )


def _private_effects_problems(
    schema: Schema, privacy: PrivacySection, discovery: DiscoverySection
) -> Iterator[Problem]:
    """Sums for effects under an epsilon are scaled by declared bounds; sites are not compared."""
    if privacy.effects is None or privacy.effects.epsilon is None:
        return
    if discovery.heterogeneity:
        yield (
            "discovery.heterogeneity",
            "the sums of the sites' own estimates have no noisy form; remove the key, or the "
            "epsilon of privacy.effects",
        )
    for variable in schema:
        if variable.is_numeric and variable.bounds is None:
            yield (
                f"variables.{variable.name}.bounds",
                "differential privacy of the effects needs public bounds; write bounds "
                "= [lo, hi], what is possible, without looking at the data",
            )
