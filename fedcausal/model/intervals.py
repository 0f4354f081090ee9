"""Conformal bounds of what single records would have had."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcausal.errors import InputError
from fedcausal.model.family_basis import scale, unscale
from fedcausal.model.gram_model import GramModel
from fedcausal.model.mechanism import NumericMechanism
from fedcausal.model.scaled_noise import ScaledNoiseMechanism

if TYPE_CHECKING:
    from fedcausal.model.scm import StructuralCausalModel

__all__ = ["CONFORMAL", "conformal_bounds"]

FloatArray = NDArray[np.float64]

CONFORMAL = (
    "Conformal bounds hold on average over records of all sites in their proportions, not within "
    "each site (its own scores are never released); under an action they rest on residuals that "
    "do not depend on the causes."
)
UNCALIBRATED = (
    "the model has no held-out records to calibrate bounds with; write calibration = 0.2 under "
    "[model] in the study and run it again"
)


def conformal_bounds(
    model: "StructuralCausalModel",
    below: set[str],
    columns: Mapping[str, FloatArray],
    level: float,
    index: pd.Index,
) -> pd.DataFrame:
    """Columns "NAME:low" and "NAME:high" of the numbers in `below`: fitted mean +- radius.

    The bounds say where a record with these causes lies; they do not use the record's own
    residual. A node whose causes are themselves answers of the model has NaN: bounds of a
    chain are not bounds of its end.

    Assumptions: held-out records and new ones are exchangeable. Under an action, further, the
    residual does not depend on the causes. Coverage is marginal over all sites' records: one per
    site would need each site's own scores, which are not released.

    Raises
    ------
    InputError
        The model was not calibrated.
    """
    if not model.calibrations or not isinstance(model.engine, GramModel):
        raise InputError(f"level: {UNCALIBRATED}")
    found: dict[str, FloatArray] = {}
    for name in [n for n in model.graph.nodes if n in below]:
        mechanism, own = model.engine.mechanisms[name], model.calibrations.get(name)
        if not isinstance(mechanism, NumericMechanism) or model.schema[name].categories:
            continue
        low = high = np.full(len(index), np.nan)
        if own is not None and not below.intersection(model.graph.parents(name)):
            interval, radius = mechanism.family.known_range, own.radius(level)
            flat = mechanism.predict(np.zeros(len(index)), columns)
            middle = scale(flat, interval)
            wide = np.full(len(index), radius)
            if isinstance(mechanism, ScaledNoiseMechanism):
                wide = radius * mechanism.spread.factors(columns)
            low, high = (unscale(middle + side * wide, interval) for side in (-1.0, 1.0))
        found |= {f"{name}:low": low, f"{name}:high": high}
    return pd.DataFrame(found, index=index)
