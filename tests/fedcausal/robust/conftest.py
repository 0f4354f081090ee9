import numpy as np
import pandas as pd
import pytest

from fedcausal.data.table import Table
from fedcausal.model.families import Families, families_request
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import GramKind, gram_request
from fedcausal.study import Study

NAMES = ("x", "y", "z")
RANGES = dict.fromkeys(NAMES, (-20.0, 20.0))
REQUESTS = (gram_request(), families_request([("x", "y"), ("y", "z")], NAMES, RANGES))


@pytest.fixture
def study():
    return Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-20, 20]} for n in NAMES},
            "privacy": {"incomplete": "drop", "max_rows": 5000},
            "discovery": {"votes": False},
            "model": {"knots": 0, "degree": 1},
            "federation": {"robust": 2},
        }
    )


@pytest.fixture
def specs(study):
    return [derive_spec(study, request, 10) for request in REQUESTS]


@pytest.fixture
def sent(study):
    """Function: what ten sites send, by site and statistic; the first `liars` send other rows."""

    def make(liars=0, seed=1):
        rng = np.random.default_rng(seed)
        return {f"s{k}": _vectors(study, _rows(rng, -1 if k < liars else 1)) for k in range(10)}

    return make


def _rows(rng, slope):
    rows = rng.normal(size=(int(rng.integers(150, 400)), 3)) + rng.normal(size=3)
    rows[:, 1] += 0.8 * slope * rows[:, 0]
    rows[:, 2] += 0.8 * slope * rows[:, 1]
    return pd.DataFrame(rows, columns=NAMES)


def _vectors(study, rows):
    table = Table(schema=study.schema(), values=rows.to_numpy())
    kinds = (GramKind(), Families())
    return {
        request.id(): kind.compute(study, request, table, None)
        for kind, request in zip(kinds, REQUESTS, strict=True)
    }
