import numpy as np
import pytest
import torch

from fedcausal.model.nodeflow import build
from fedcausal.model.nodeflow_spec import NodeFlowSpec

MIXED = NodeFlowSpec(
    names=("a", "b", "c", "o", "y", "z"),
    kinds=("continuous", "discrete", "continuous", "ordinal", "discrete", "continuous"),
    levels=(0, 3, 0, 0, 2, 0),
    bounds=((-3.0, 3.0), (0.0, 0.0), (0.0, 10.0), (0.0, 6.0), (0.0, 0.0), (100.0, 160.0)),
    edges=(("a", "b"), ("a", "c"), ("b", "c"), ("c", "o"), ("o", "y"), ("b", "y"), ("c", "z")),
    hidden=8,
    bins=5,
)


def bent(spec, seed=0, size=0.3):
    """A flow with all parameters moved away from their start."""
    flow = build(spec, seed)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += torch.from_numpy(size * rng.standard_normal(tuple(parameter.shape)))
    return flow


@pytest.fixture
def mixed_spec():
    return MIXED


@pytest.fixture
def mixed_flow():
    return bent(MIXED)


@pytest.fixture
def make_bent():
    return bent
