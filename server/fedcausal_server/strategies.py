"""Flower's strategies on a secure sum: they are handed the mean and make the next weights of it.

The sites' vectors are averaged under masks and encryption, so that a strategy sees one reply: the
weighted mean. What it does with more replies than one (medians, trimming) cannot be had.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedProx,
    FedYogi,
)
from numpy.typing import NDArray

from fedcausal.errors import FedCausalError
from fedcausal.steps.training import Memory, ServerStep
from fedcausal.study import Study
from fedcausal.study_file.sections import ModelSection

__all__ = ["server_step", "strategy_of"]

Float32 = NDArray[np.float32]

WEIGHTS = "weights"
MOMENTS = ("m_t", "v_t")
MOMENTUM = "momentum"
ADAPTIVE_RATE = 0.01
"""About the change of one weight in a round; Flower's own default of 0.1 throws a flow far off."""

_ADAPTIVE: Mapping[str, Callable[..., FedAvg]] = MappingProxyType(
    {"fedadam": FedAdam, "fedyogi": FedYogi, "fedadagrad": FedAdagrad}
)
_ADAPTIVE_KINDS = (FedAdam, FedYogi, FedAdagrad)


def strategy_of(section: ModelSection) -> FedAvg:
    """Flower's strategy that a study names, with its numbers."""
    if section.strategy == "fedprox":
        return FedProx(proximal_mu=section.proximal_mu)
    if section.strategy == "fedavgm":
        return FedAvgM(
            server_learning_rate=section.server_rate or 1.0,
            server_momentum=section.server_momentum,
        )
    if section.strategy in _ADAPTIVE:
        return _ADAPTIVE[section.strategy](eta=section.server_rate or ADAPTIVE_RATE)
    return FedAvg()


def server_step(study: Study) -> ServerStep:
    """From the shared weights and the sites' mean to the next weights, by the study's strategy.

    The strategy is made anew for every round and is given its memory, so that the same totals
    lead to the same weights when a run is resumed.
    """
    section = study.model

    def step(
        weights: Float32, mean: Float32, *, round_index: int, memory: Memory
    ) -> tuple[Float32, Memory]:
        strategy = strategy_of(section)
        _remember(strategy, weights, memory)
        found, _ = strategy.aggregate_train(round_index, [_reply(mean)])
        if found is None:
            raise FedCausalError(f"model.strategy: {section.strategy!r} made no weights")
        return _vector(found), _memory(strategy)

    return step


def _remember(strategy: FedAvg, weights: Float32, memory: Memory) -> None:
    """What `configure_train` and earlier rounds would have left in the strategy."""
    if isinstance(strategy, _ADAPTIVE_KINDS):
        strategy.current_arrays = {WEIGHTS: weights}
        for name in MOMENTS:
            if name in memory:
                setattr(strategy, name, {WEIGHTS: memory[name]})
    elif isinstance(strategy, FedAvgM):
        strategy.current_arrays = _arrays(weights)
        if MOMENTUM in memory:
            strategy.momentum_vector = [memory[MOMENTUM]]


def _memory(strategy: FedAvg) -> Memory:
    if isinstance(strategy, _ADAPTIVE_KINDS):
        found = {name: getattr(strategy, name) for name in MOMENTS}
        return {name: arrays[WEIGHTS] for name, arrays in found.items() if arrays}
    if isinstance(strategy, FedAvgM) and strategy.momentum_vector is not None:
        return {MOMENTUM: strategy.momentum_vector[0]}
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mean:
    """What a strategy reads of a reply: the secure sum's mean, with weight 1.

    Flower's own message needs a node that sent it, and no single one did.
    """

    content: RecordDict

    def has_error(self) -> bool:
        return False


def _reply(mean: Float32) -> Message:
    metrics = MetricRecord({"num-examples": 1})
    content = RecordDict({"arrays": _arrays(mean), "metrics": metrics})
    return cast(Message, _Mean(content=content))


def _arrays(vector: Float32) -> ArrayRecord:
    return ArrayRecord({WEIGHTS: Array(vector)})


def _vector(arrays: ArrayRecord) -> Float32:
    return np.asarray(arrays[WEIGHTS].numpy(), dtype=np.float32)
