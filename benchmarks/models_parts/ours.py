"""The closed-form model and the NodeFlow of fedcausal, fitted through a study's statistics.

Four sites; totals are added in the clear, which is what the secure sum opens (its equality with
a plain sum is `secure_sum.py`'s subject), and small cells are withheld as in a study.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from task import Answers, Task

from fedcausal.data.table import Table
from fedcausal.graph import Graph
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import FamilyGram, decode_families
from fedcausal.model.fitting import assemble
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.margins import Margins, choose_knots, margins_request
from fedcausal.model.mechanism import Mechanism
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_model import from_nodeflow, nodeflow_starts
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.offsets import nodeflow_offsets
from fedcausal.model.residuals import (
    Residuals,
    decode_residuals,
    residuals_request,
    with_residual_laws,
)
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.model.training import TrainingPlan, local_update
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

__all__ = ["Fitted", "answer", "closed_form", "numeric_study", "train_nodeflow"]

Matrix = NDArray[np.float64]
Edges = Sequence[tuple[str, str]]

NUM_SITES = 4
MARGIN = 0.05
"""Declared bounds are wider than the data by this share of its width on each side."""
BATCH, RATE = 512, 3e-3
HIDDEN = 16


@dataclass(frozen=True)
class Fitted:
    """A model, what training a flow on its scale needs, and the CPU seconds of the fit."""

    model: StructuralCausalModel
    grams: Mapping[str, FamilyGram]
    mechanisms: Mapping[str, Mechanism]
    cpu: float


def numeric_study(rows: Matrix) -> Study:
    """A study of continuous x001, x002, ... with bounds a little wider than the rows."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    margin = MARGIN * (high - low)
    bounds = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
    variables = {
        f"x{j + 1:03d}": {"kind": "continuous", "bounds": list(pair)}
        for j, pair in enumerate(bounds)
    }
    return Study.model_validate({"variables": variables, "discovery": {"site_effects": "pool"}})


def polynomials(study: Study, degree: int) -> Study:
    """The study with polynomials of a total degree in the place of splines."""
    model = study.model.model_copy(update={"knots": 0, "degree": degree})
    return study.model_copy(update={"model": model})


def closed_form(study: Study, edges: Edges, sites: Sequence[Table], num_records: int) -> Fitted:
    """Margins, family Grams and residuals of a known graph; CPU time of server and sites."""
    started = time.process_time()
    knots: Mapping[str, tuple[float, ...]] = {}
    margins = margins_request(study, edges, {}, num_records=num_records, num_sites=len(sites))
    if margins is not None:
        total = _total(Margins(), study, margins, sites)
        knots = choose_knots(study, margins, total, len(sites))
    names = list(study.schema().names)
    request = families_request(edges, names, {}, knots)
    grams = decode_families(study, request, _total(Families(), study, request, sites), len(sites))
    mechanisms = fit_mechanisms(grams)
    bins = residuals_request(request, mechanisms)
    if bins is not None:
        counted = {name: gram.num_records for name, gram in grams.items()}
        laws = decode_residuals(study, bins, _total(Residuals(), study, bins, sites), counted)
        mechanisms = with_residual_laws(mechanisms, laws)
    model = assemble(Graph.dag(names, list(edges)), study.schema(), mechanisms)
    return Fitted(model, grams, mechanisms, time.process_time() - started)


def train_nodeflow(
    study: Study, edges: Edges, rows: Matrix, fitted: Fitted, epochs: int
) -> Fitted:
    """A NodeFlow on top of the closed form's means, on the pooled rows of one site.

    As the peers' flows: Adam in batches of 512, 3e-3 at most on a one-cycle schedule. The CPU
    seconds include those of the closed form.
    """
    torch.optim.AdamW([torch.zeros(1)])  # imports more of torch, and imports are not counted
    started = time.process_time()
    offsets = nodeflow_offsets(fitted.mechanisms)
    spec = NodeFlowSpec.from_schema(study.schema(), edges, hidden=HIDDEN, offsets=offsets)
    weights = to_vector(build(spec, 0, start=nodeflow_starts(fitted.grams, offsets)))
    plan = TrainingPlan(
        rounds=1,
        steps=round(epochs * len(rows) / BATCH),
        sample_rate=BATCH / len(rows),
        expected_batch_size=BATCH,
        learning_rate=RATE,
        clip=1.0,
        update_clip=1.0,
        device="cpu",
    )
    rng = np.random.default_rng(0)
    trained = local_update(spec, weights, rows, plan=plan, round_index=0, rng=rng)
    weights = weights + trained.delta
    graph = Graph.dag(list(study.schema().names), list(edges))
    model = from_nodeflow(from_vector(spec, weights), graph, study.schema())
    cpu = fitted.cpu + time.process_time() - started
    return Fitted(model, fitted.grams, fitted.mechanisms, cpu)


def answer(fitted: Fitted, task: Task) -> Answers:
    """What a model says to every question of a task."""
    engine, names = fitted.model.engine, fitted.model.graph.nodes
    facts = {name: task.test[:, j] for j, name in enumerate(names)}
    means, worlds = [], []
    for k, (node, value) in enumerate(task.actions):
        do = {names[node]: value}
        rng = np.random.default_rng([task.seed, k])
        drawn = engine.sample(task.draws, do=do, rng=rng)
        means.append([float(drawn[name].mean()) for name in names])
        found = engine.counterfactual(facts, do=do, draws=1, rng=rng).values
        worlds.append(np.column_stack([found.get(name, facts[name]) for name in names]))
    return Answers(np.array(means), np.array(worlds), fitted.cpu)


def _total(kind: Any, study: Study, request: Request, sites: Sequence[Table]) -> Released:
    spec = kind.spec(study, request, len(sites))
    rng = np.random.default_rng(0)
    return apply_cell_rule(sum(kind.compute(study, request, site, rng) for site in sites), spec)
