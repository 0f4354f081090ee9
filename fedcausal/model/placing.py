"""Where the numbers of a flow are: its device, and float64 for questions."""

import copy
import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcausal.errors import InputError
from fedcausal.model.nodeflow import NodeFlow

__all__ = ["array_of", "in_double", "tensor_of"]

DEVICES = re.compile(r"cpu|cuda(:\d+)?")


def in_double(flow: NodeFlow, device: str | None = None) -> NodeFlow:
    """The flow in float64, where the inverse is exact, on a device or on its own.

    Itself when it is there already.

    Raises
    ------
    InputError
        There is no such device here, or it has no float64.
    """
    weight = flow.head.weight
    there = weight.device if device is None else _device(device)
    if weight.dtype == torch.float64 and weight.device == there:
        return flow
    return copy.deepcopy(flow).to(there, torch.float64)


def tensor_of(flow: NodeFlow, values: NDArray[Any]) -> Tensor:
    """An array on the device of the flow."""
    return torch.from_numpy(values).to(flow.head.weight.device)


def array_of(values: Tensor) -> NDArray[np.float64]:
    """What a flow has computed, back in the memory of the CPU."""
    found: NDArray[np.float64] = values.cpu().numpy()
    return found


def _device(wanted: str) -> torch.device:
    try:
        if not DEVICES.fullmatch(wanted):
            raise RuntimeError
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError):
        raise InputError(
            f'device: {wanted!r} is not available here for questions; write "cpu", or "cuda" '
            "where there is one"
        ) from None
    return torch.device(wanted)
