"""A toy study: per-variable sums over three sites, asked for in two rounds."""

import json
import sys
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import fedcausal
from fedcausal.statistics import registry
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.statistic_spec import StatisticSpec
from fedcausal_server.run_record import run_card

SITES = ("north", "south", "west")


class ToySum:
    """The site's rows counted, and the rounded sums of its columns times a factor."""

    name = "toy"
    part = "graph"

    def spec(self, study, request, num_sites):
        return StatisticSpec(
            name="toy",
            length=1 + len(study.schema()),
            bound=10**9,
            min_cell=study.privacy.min_cell,
            counts=(0,),
        )

    def compute(self, study, request, source, rng):
        factor = request.parameters["factor"]
        tables = list(source.batches())
        rows = sum(table.num_rows for table in tables)
        sums = sum(np.rint(factor * table.values.sum(axis=0)) for table in tables)
        return np.array([rows, *sums], dtype=np.int64)

    def width(self, study, request):
        return len(study.schema())


@dataclass(frozen=True, kw_only=True)
class ToyState:
    requests: tuple[Request, ...]
    released: tuple = ()
    done: bool = False
    blobs: dict = field(default_factory=dict)
    steps: tuple[str, ...] = ("discovery", "model", "effects")


def toy_protocol():
    module = ModuleType("fedcausal.protocol")

    def request(factor):
        return Request(kind="toy", parameters={"factor": factor})

    def start(study, num_sites, seed, *, steps, server_step=None):
        return ToyState(requests=(request(1), request(2)))

    def step(state, released):
        assert set(released) == {r.id() for r in state.requests}
        history = (*state.released, dict(released))
        if len(history) == 1:
            return ToyState(requests=(request(3),), released=history)
        return ToyState(requests=(), released=history, done=True)

    module.start, module.step, module.parse_steps = start, step, tuple
    return module


def write_card(outcome, study, out, *, seed):
    card = run_card(outcome, study, seed=seed)
    (out / "run.json").write_text(json.dumps(card))


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(registry, "KINDS", {"toy": ToySum()})
    module = toy_protocol()
    monkeypatch.setitem(sys.modules, "fedcausal.protocol", module)
    monkeypatch.setattr(fedcausal, "protocol", module, raising=False)
    monkeypatch.setattr("fedcausal_server.app.write_run", write_card)


@pytest.fixture
def study():
    return Study.model_validate(
        {
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, 120]},
                "dose": {"kind": "continuous", "bounds": [0, 10]},
            }
        }
    )


@pytest.fixture
def tables():
    rng = np.random.default_rng(7)
    return {
        name: pd.DataFrame(
            {"age": rng.integers(20, 90, 30 + i), "dose": rng.uniform(0, 10, 30 + i)}
        )
        for i, name in enumerate(SITES)
    }
