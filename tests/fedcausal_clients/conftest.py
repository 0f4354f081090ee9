"""One home folder, a gate over it, and a toy kind of statistic."""

import numpy as np
import pytest

from fedcausal.study import Study
from fedcausal_clients.egress import Gate
from fedcausal_clients.site_config import Policy
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.ledger import Ledger
from fedcausal_privacy.statistic_spec import StatisticSpec


class ToyKind:
    """Counts the rows; `wide` is the width it claims."""

    name = "toy"

    def __init__(self, part="graph", wide=1):
        self.part, self.wide = part, wide

    def spec(self, study, request, num_sites):
        return StatisticSpec(name="toy", length=1, bound=10**6, counts=(0,), min_cell=5)

    def compute(self, study, request, source, rng):
        return np.array([sum(t.num_rows for t in source.batches())], dtype=np.int64)

    def width(self, study, request):
        return self.wide


def make_study(**sections):
    return Study.model_validate(
        {
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, 120]},
                "dose": {"kind": "continuous", "bounds": [0, 10]},
            },
            **sections,
        }
    )


@pytest.fixture
def study():
    return make_study()


@pytest.fixture
def make_gate(tmp_path):
    """A function from policy keys to a gate; all its ledgers are closed at the end."""
    ledgers = []

    def make(study, **policy):
        ledgers.append(Ledger(tmp_path / "ledger.db"))
        return Gate(
            site="north",
            policy=Policy.model_validate(policy),
            approved=frozenset({study.hash()}),
            ledger=ledgers[-1],
            audit=AuditLog(path=tmp_path / "audit.jsonl"),
            store=StateStore.open(tmp_path / "state"),
        )

    yield make
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def toy_kind():
    return ToyKind


@pytest.fixture
def new_study():
    return make_study
