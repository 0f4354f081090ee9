"""From released family Grams to a structural causal model."""

from collections.abc import Mapping

from fedcausal.graph import Graph
from fedcausal.model.calibration import Calibration
from fedcausal.model.count_mechanism import with_counts
from fedcausal.model.family_basis import Range, family_ranges
from fedcausal.model.family_gram import FamilyGram
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.schema import Schema

__all__ = ["assemble", "fit"]


def fit(graph: Graph, schema: Schema, grams: Mapping[str, FamilyGram]) -> StructuralCausalModel:
    """Fit the closed-form model of a DAG; residuals are Gaussian until their law is released."""
    return assemble(graph, schema, with_counts(fit_mechanisms(grams), grams, schema))


def assemble(
    graph: Graph,
    schema: Schema,
    mechanisms: Mapping[str, Mechanism],
    calibrations: Mapping[str, Calibration] | None = None,
) -> StructuralCausalModel:
    """A model from fitted mechanisms; the ranges are those that scaled their features."""
    known: dict[str, Range] = {}
    for mechanism in mechanisms.values():
        known |= dict(mechanism.family.basis.ranges)
        if mechanism.family.range is not None:
            known[mechanism.family.node] = mechanism.family.range
    return StructuralCausalModel(
        graph=graph,
        schema=schema,
        family="gram",
        engine=GramModel(graph=graph, schema=schema, mechanisms=mechanisms),
        ranges=family_ranges(schema, known, graph.nodes),
        calibrations=dict(calibrations or {}),
    )
