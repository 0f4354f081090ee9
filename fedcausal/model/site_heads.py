"""A site's own mechanisms in the place of shared ones: fitted at the site, and kept there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.errors import InputError
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.members import with_nodes
from fedcausal.model.nodeflow_model import NodeFlowModel, from_nodeflow
from fedcausal.model.residuals import (
    Residuals,
    decode_residuals,
    residuals_request,
    with_residual_laws,
)
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.spreads import (
    Spreads,
    decode_spreads,
    spreads_request,
    with_spreads,
)
from fedcausal.model.training_plan import training_plan
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import IntVector, Released

__all__ = ["with_own_heads"]


def with_own_heads(
    model: StructuralCausalModel, study: Study, source: TableSource, nodes: Sequence[str]
) -> StructuralCausalModel:
    """The model with the mechanisms of `nodes` fitted to one site's rows alone.

    Closed forms are fitted to the site's own family Grams, flows trained from the shared weights
    on the site's rows for as many rounds as the study has. Mechanisms share no parameter, so that
    the others stay exactly what they were.

    Privacy: everything happens at the site. The result is a function of its rows without noise
    and must not leave it.

    Raises
    ------
    InputError
        An unknown variable, too few rows, or a model of another kind.
    """
    unknown = [name for name in nodes if name not in model.graph.nodes]
    if unknown or not nodes:
        known = ", ".join(model.graph.nodes)
        raise InputError(
            f"nodes: expected some of {known}, got {unknown[0] if unknown else 'none'}"
        )
    if isinstance(model.engine, GramModel):
        shared = model.engine.mechanisms
        own = _closed_forms(shared, study, source, nodes)
        headed = assemble(model.graph, model.schema, {**shared, **own})
        return replace(headed, learnt=model.learnt)
    if isinstance(model.engine, NodeFlowModel):
        return _trained(model, model.engine, study, source, nodes)
    raise InputError(
        "a site's own head of an ensemble is not in this version; ask the closed form"
    )


def _closed_forms(
    shared: Mapping[str, Mechanism], study: Study, source: TableSource, nodes: Sequence[str]
) -> dict[str, Mechanism]:
    bases = [shared[name].family.basis for name in nodes]
    edges = [(p, n) for n, basis in zip(nodes, bases, strict=True) for p in basis.parents]
    ranges = {name: pair for basis in bases for name, pair in basis.ranges.items()}
    ranges |= {n: r for n in nodes if (r := shared[n].family.range) is not None}
    knots = {name: own for basis in bases for name, own in basis.knots.items()}
    involved = dict.fromkeys([*nodes, *(parent for parent, _ in edges)])
    request = families_request(edges, list(involved), ranges, knots)
    grams = decode_families(study, request, _alone(Families(), study, request, source), 1)
    fitted = _with_own_spreads(fit_mechanisms(grams), study, source, request)
    bins = residuals_request(request, fitted)
    if bins is not None:
        counted = {name: gram.num_records for name, gram in grams.items()}
        total = _alone(Residuals(), study, bins, source)
        fitted = with_residual_laws(fitted, decode_residuals(study, bins, total, counted))
    return {name: fitted[name] for name in nodes}


def _with_own_spreads(
    fitted: Mapping[str, Mechanism], study: Study, source: TableSource, families: Request
) -> Mapping[str, Mechanism]:
    asked = spreads_request(families, fitted)
    if study.model.variance == "constant" or asked is None:
        return fitted
    total = _alone(Spreads(), study, asked, source)
    return with_spreads(fitted, decode_spreads(study, asked, total, 1))


def _alone(kind: Any, study: Study, request: Request, source: TableSource) -> Released:
    """One site's vector as it is: nobody else is in it, and nobody else sees it."""
    vector: IntVector = kind.compute(study, request, source, np.random.default_rng(0))
    return Released(totals=vector, withheld=np.zeros(len(vector), dtype=np.bool_))


def _trained(
    model: StructuralCausalModel,
    engine: NodeFlowModel,
    study: Study,
    source: TableSource,
    nodes: Sequence[str],
) -> StructuralCausalModel:
    from fedcausal.model.nodeflow import from_vector, to_vector
    from fedcausal.model.training import gather_rows, local_update

    plan = replace(
        training_plan(study.model, epsilon=None, delta=study.privacy.delta), proximal_mu=0.0
    )
    shared = to_vector(engine.flow)
    rows, own = gather_rows(engine.spec, source), shared
    for k in range(plan.rounds):
        rng = np.random.default_rng(k)
        own = own + local_update(engine.spec, own, rows, plan=plan, round_index=k, rng=rng).delta
    flow = from_vector(engine.spec, with_nodes(engine.spec, shared, own, nodes))
    return replace(from_nodeflow(flow, model.graph, model.schema), learnt=model.learnt)
