"""A run against what it has not seen: held-out records, a known graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.equivalence import cpdag_of
from fedcausal.errors import GraphError, InputError
from fedcausal.evaluation.falsification import Falsification, falsify, held_out_covariance
from fedcausal.evaluation.generation import (
    GenerationQuality,
    compare_records,
    detection_auc,
    shuffled,
)
from fedcausal.evaluation.graph_distance import (
    adjustment_distance,
    arrowhead_agreement,
    skeleton_agreement,
    structural_hamming_distance,
)
from fedcausal.evaluation.likelihood import NodeLikelihood, held_out_likelihood
from fedcausal.graph import Graph
from fedcausal.model.frames import read_frame
from fedcausal.model.scm import StructuralCausalModel
from fedcausal.results.run import Run
from fedcausal_privacy.canonical import JsonValue

__all__ = ["DataEvaluation", "Evaluation", "GraphEvaluation", "evaluate"]

MIN_RECORDS = 20
"""Fewer held-out records say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEvaluation:
    """A graph beside the true one.

    `adjustment_mistakes` counts the ordered pairs (of `num_pairs`) whose effect the model's DAG
    would adjust for wrongly; None for a PAG, and where the truth is a class that knowledge has
    oriented further.
    """

    structural_hamming_distance: int
    skeleton_f1: float
    arrowhead_f1: float
    adjustment_mistakes: int | None
    num_pairs: int

    def to_json(self) -> dict[str, JsonValue]:
        """The distances as a JSON object."""
        return {
            "structural_hamming_distance": self.structural_hamming_distance,
            "skeleton_f1": self.skeleton_f1,
            "arrowhead_f1": self.arrowhead_f1,
            "adjustment_mistakes": self.adjustment_mistakes,
            "num_pairs": self.num_pairs,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEvaluation:
    """A model beside held-out records.

    Attributes
    ----------
    generation, ceiling, floor
        Drawn records against the held-out ones; one half of the held-out records against the
        other (what no model can beat by more than chance); columns shuffled one by one.
    detection_auc
        How well a classifier tells drawn records from held-out ones; 0.5 is not at all.
    likelihood
        Variable -> its held-out likelihood.
    falsification
        The graph's implied independences, tested.
    """

    num_records: int
    generation: GenerationQuality
    ceiling: GenerationQuality
    floor: GenerationQuality
    detection_auc: float
    likelihood: Mapping[str, NodeLikelihood] = field(default_factory=dict)
    falsification: Falsification

    def to_json(self) -> dict[str, JsonValue]:
        """The figures as a JSON object."""
        return {
            "num_records": self.num_records,
            "generation": self.generation.to_json(),
            "ceiling": self.ceiling.to_json(),
            "floor": self.floor.to_json(),
            "detection_auc": self.detection_auc,
            "likelihood": {name: v.to_json() for name, v in self.likelihood.items()},
            "falsification": self.falsification.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was asked for; None where it was not."""

    graph: GraphEvaluation | None = None
    data: DataEvaluation | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Both parts as a JSON object."""
        return {
            "graph": None if self.graph is None else self.graph.to_json(),
            "data": None if self.data is None else self.data.to_json(),
        }


def evaluate(
    run: Run,
    frame: pd.DataFrame | None = None,
    *,
    truth: Graph | None = None,
    site_column: str | None = None,
    family: str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare a run with held-out records, with a known graph, or with both.

    Parameters
    ----------
    frame
        Records that no site used, one column per variable of the model. With `site_column` the
        independences are tested within sites.

    Raises
    ------
    InputError
        Neither is given; the records lack a column or are too few; the graphs have different
        variables.

    Assumptions: the held-out records come from the population of the sites. Privacy: reads the
    released model; the records stay where this runs.
    """
    if frame is None and truth is None:
        raise InputError("expected held-out records (--data), a known graph (--truth) or both")
    return Evaluation(
        graph=None if truth is None else _graph(run, truth),
        data=None
        if frame is None
        else _data(
            run.model.of_family(family).load() if family else run.model.load(),
            frame,
            site_column,
            seed,
        ),
    )


def _graph(run: Run, truth: Graph) -> GraphEvaluation:
    estimate = run.graph
    differing = sorted(set(estimate.nodes) ^ set(truth.nodes))
    if differing:
        raise InputError(
            f"--truth: expected a graph over the run's variables; of these, one of the two lacks "
            f"{', '.join(differing)}: add or remove them in the graph file"
        )
    is_pag = "pag" in (estimate.kind, truth.kind)
    target = _class_of(truth, estimate)
    return GraphEvaluation(
        structural_hamming_distance=structural_hamming_distance(estimate, target),
        skeleton_f1=skeleton_agreement(estimate, target).f1,
        arrowhead_f1=arrowhead_agreement(estimate, target).f1,
        adjustment_mistakes=None if is_pag else _mistakes(run.dag, truth),
        num_pairs=len(truth.nodes) * (len(truth.nodes) - 1),
    )


def _class_of(truth: Graph, estimate: Graph) -> Graph:
    """A true DAG's class, oriented as far as knowledge has rightly oriented the estimate."""
    if truth.kind != "dag" or estimate.kind != "cpdag":
        return truth
    right = set(estimate.directed_edges) & set(truth.directed_edges)
    return cpdag_of(truth, Knowledge(nodes=truth.nodes, required=tuple(sorted(right))))


def _mistakes(dag: Graph, truth: Graph) -> int | None:
    try:
        return adjustment_distance(dag, truth).mistakes
    except GraphError:
        return None


def _data(
    model: StructuralCausalModel, frame: pd.DataFrame, site_column: str | None, seed: int
) -> DataEvaluation:
    source = str(frame.attrs.get("source", "frame"))
    if len(frame) < MIN_RECORDS:
        raise InputError(
            f"{source}: expected at least {MIN_RECORDS} held-out records, got {len(frame)}"
        )
    groups = _groups(frame, site_column, source)
    rng = np.random.default_rng(seed)
    names, schema = model.graph.nodes, model.schema
    real = read_frame(frame, schema, names)
    drawn = read_frame(model.sample(len(frame), seed=seed), schema, names)
    halves = np.array_split(rng.permutation(len(frame)), 2)
    first, second = ({n: v[half] for n, v in real.items()} for half in halves)
    statistics = held_out_covariance(schema, real, groups)
    return DataEvaluation(
        num_records=len(frame),
        generation=compare_records(schema, real, drawn),
        ceiling=compare_records(schema, first, second),
        floor=compare_records(schema, real, shuffled(real, rng)),
        detection_auc=detection_auc(schema, real, drawn, seed=seed),
        likelihood=held_out_likelihood(model, frame),
        falsification=falsify(model.graph, statistics, rng=rng),
    )


def _groups(frame: pd.DataFrame, column: str | None, source: str) -> np.ndarray | None:
    if column is None:
        return None
    if column not in frame.columns:
        raise InputError(f"{source}:{column}: --site-column names no column of the data")
    codes, _ = pd.factorize(frame[column])
    return codes.astype(np.float64)
