"""How probable held-out values are under a model, beside a model without causes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedcausal.data.table import Vector
from fedcausal.model.frames import read_frame
from fedcausal.model.scm import StructuralCausalModel
from fedcausal_privacy.canonical import JsonValue

__all__ = ["NodeLikelihood", "held_out_likelihood"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLikelihood:
    """Mean log density (or probability) of one variable, in nats per record.

    Attributes
    ----------
    num_records
        Held-out records that have the variable and its parents.
    model
        Given its parents, by the model.
    baseline
        Without parents, by the normal law (or the shares of the levels) of the held-out records
        themselves: a baseline that has seen what it predicts.
    """

    num_records: int
    model: float
    baseline: float

    @property
    def gain(self) -> float:
        """What the parents tell; negative where the model does worse than no model."""
        return self.model - self.baseline

    def to_json(self) -> dict[str, JsonValue]:
        """The figures as a JSON object."""
        return {
            "num_records": self.num_records,
            "model": self.model,
            "baseline": self.baseline,
            "gain": self.gain,
        }


def held_out_likelihood(
    model: StructuralCausalModel, frame: pd.DataFrame
) -> Mapping[str, NodeLikelihood]:
    """Log likelihood of every variable of the model's graph, over complete families.

    Variables without a single record that has them and their parents are left out.
    """
    columns = read_frame(frame, model.schema, model.graph.nodes)
    scores = model.log_prob(frame)
    found = {}
    for name in model.graph.nodes:
        family = [columns[n] for n in (name, *model.graph.parents(name))]
        complete = ~np.any(np.isnan(family), axis=0)
        if complete.any():
            found[name] = NodeLikelihood(
                num_records=int(complete.sum()),
                model=float(np.mean(scores[name].to_numpy()[complete])),
                baseline=_baseline(columns[name][complete], model.schema[name].num_levels),
            )
    return found


def _baseline(values: Vector, num_levels: int) -> float:
    if num_levels:
        shares = np.bincount(values.astype(np.int64), minlength=num_levels) / len(values)
        seen = shares[shares > 0]
        return float(np.sum(seen * np.log(seen)))
    variance = max(float(np.var(values)), np.finfo(np.float64).tiny)
    return -0.5 * float(np.log(2.0 * np.pi * variance) + 1.0)
