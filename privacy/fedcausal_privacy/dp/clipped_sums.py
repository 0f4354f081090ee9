"""Sums of clipped per-row gradients, without a per-row gradient where a layer knows a way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import torch
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedcausal_privacy.errors import InputError

__all__ = ["ClippedSums", "LayerRule"]

# Keeps the division by a norm of zero finite, from the safe side.
_TINY = 1e-6

Gradients: TypeAlias = dict[nn.Parameter, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRule:
    """How a layer class gives norms and weighted sums of per-row gradients in closed form.

    Attributes
    ----------
    squared_norms
        (layer, its input, gradient of its output) -> squared norm of each row's gradient of all
        of the layer's parameters, (num_rows,).
    weighted_sums
        (layer, its input, gradient of its output, weights (num_rows,)) -> parameter -> sum over
        rows of weight x gradient.
    """

    squared_norms: Callable[[Any, Tensor, Tensor], Tensor]
    weighted_sums: Callable[[Any, Tensor, Tensor, Tensor], Gradients]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """One call of a layer: what went in, and the gradient of what came out."""

    layer: nn.Module
    inputs: Tensor
    backward: Tensor


class ClippedSums:
    """While entered, every backward pass of the sum of row losses is noted layer by layer.

    Layers with a rule keep their input and the gradient of their output ("book-keeping"): norms
    and weighted sums follow from them, and autograd forms no gradient of their parameters at
    all. Other layers get per-row gradients from Opacus' gradient samplers. A layer that neither
    knows is an error, never a gradient that is missing from the norms.

    References
    ----------
    Bu et al. (2023), "Differentially private optimization on large model at small cost",
    arXiv:2210.00038 (book-keeping). Yousefpour et al. (2021), arXiv:2109.12298 (Opacus).
    """

    def __init__(self, model: nn.Module, rules: Mapping[type[nn.Module], LayerRule]) -> None:
        self._layers = tuple(m for m in model.modules() if _own_parameters(m))
        self._rules: dict[nn.Module, LayerRule] = {
            m: rules[type(m)] for m in self._layers if type(m) in rules
        }
        _check_layers(self._layers, self._rules)
        self._uses: list[_Use] = []
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for layer in self._layers:
            self._handles.append(layer.register_forward_hook(self._note))
        for layer in self._rules:
            _set_trainable(layer, False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        for layer in self._rules:
            _set_trainable(layer, True)
        self._handles.clear()
        self._uses.clear()

    def take(self, num_rows: int, clip: float) -> Gradients:
        """The sum over rows of gradients clipped to the L2 norm `clip`, per parameter; forget it.

        A row whose gradient is not finite contributes zero.
        """
        uses, per_row = self._uses, self._per_row()
        self._uses = []
        norms = self._squared_norms(uses, per_row, num_rows)
        if norms is None:
            return {}
        weights = (clip / (norms.sqrt() + _TINY)).clamp(max=1.0)
        is_finite = norms.isfinite()
        if not bool(is_finite.all()):
            weights = torch.where(is_finite, weights, 0.0)
            uses = [_without(use, is_finite) for use in uses]
            per_row = {p: _masked(rows, is_finite) for p, rows in per_row.items()}
        sums: Gradients = {}
        for use in uses:
            if use.layer in self._rules:
                rule = self._rules[use.layer]
                sums.update(rule.weighted_sums(use.layer, use.inputs, use.backward, weights))
        sums.update({p: torch.einsum("b,b...->...", weights, rows) for p, rows in per_row.items()})
        return sums

    def _note(self, layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Forward hook: hand out an output whose gradient will be noted."""
        if not torch.is_grad_enabled():
            return output
        followed = output if output.requires_grad else output.detach().requires_grad_()
        inputs = arguments[0].detach()

        def on_backward(backward: Tensor) -> None:
            if any(use.layer is layer for use in self._uses) and layer in self._rules:
                raise InputError(
                    f"{type(layer).__name__} is used twice in one pass; its rule has the norm of "
                    "one use only: leave the class out of the rules"
                )
            self._uses.append(_Use(layer=layer, inputs=inputs, backward=backward.detach()))

        followed.register_hook(on_backward)  # type: ignore[no-untyped-call]
        return followed

    def _per_row(self) -> Gradients:
        """Per-row gradients of the layers without a rule, over all their uses."""
        found: Gradients = {}
        for use in self._uses:
            if use.layer in self._rules:
                continue
            sampler = GradSampleHooks.GRAD_SAMPLERS[type(use.layer)]
            for parameter, rows in sampler(use.layer, [use.inputs], use.backward).items():
                found[parameter] = found[parameter] + rows if parameter in found else rows
        return found

    def _squared_norms(self, uses: list[_Use], per_row: Gradients, num_rows: int) -> Tensor | None:
        parts = [
            self._rules[use.layer].squared_norms(use.layer, use.inputs, use.backward)
            for use in uses
            if use.layer in self._rules
        ]
        parts += [rows.reshape(num_rows, -1).square().sum(dim=1) for rows in per_row.values()]
        return torch.stack(parts).sum(dim=0) if parts else None


def _own_parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


def _set_trainable(layer: nn.Module, is_trainable: bool) -> None:
    for parameter in layer.parameters(recurse=False):
        parameter.requires_grad_(is_trainable)


def _check_layers(layers: tuple[nn.Module, ...], rules: Mapping[nn.Module, LayerRule]) -> None:
    for layer in layers:
        if layer not in rules and type(layer) not in GradSampleHooks.GRAD_SAMPLERS:
            raise InputError(
                f"no per-row gradients are known of {type(layer).__name__}; bring a rule for it"
            )
    parameters = [id(p) for layer in layers for p in _own_parameters(layer)]
    if len(set(parameters)) != len(parameters):
        raise InputError("two layers share a parameter; the norm of its gradient is not known")


def _without(use: _Use, is_kept: Tensor) -> _Use:
    return _Use(
        layer=use.layer,
        inputs=_masked(use.inputs, is_kept),
        backward=_masked(use.backward, is_kept),
    )


def _masked(rows: Tensor, is_kept: Tensor) -> Tensor:
    """Rows with zeros in the place of those that are not kept (zero times infinity is no zero)."""
    shape = (len(is_kept), *(1,) * (rows.ndim - 1))
    return torch.where(is_kept.reshape(shape), rows, 0.0)
