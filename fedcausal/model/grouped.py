"""Many small linear layers in one: a layer per node, all computed at once."""

import torch
from torch import Tensor, nn

__all__ = ["GroupedLinear", "grouped_squared_norms", "grouped_weighted_sums"]


class GroupedLinear(nn.Module):
    """`num_groups` independent affine maps y_g = W_g x_g + b_g.

    Maps (num_rows, num_groups, num_inputs) to (num_rows, num_groups, num_outputs). Parameters
    start at zero. `is_mixed` takes the products in bfloat16; parameters, outputs and everything
    around the layer stay as they are.
    """

    is_mixed: bool = False

    def __init__(self, num_groups: int, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_groups, num_outputs, num_inputs))
        self.bias = nn.Parameter(torch.zeros(num_groups, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """All groups."""
        return _products(inputs, self.weight, self.bias, is_mixed=self.is_mixed)

    def some(self, inputs: Tensor, groups: Tensor) -> Tensor:
        """The chosen groups alone; `inputs` (num_rows, len(groups), num_inputs)."""
        weight, bias = self.weight[groups], self.bias[groups]
        return _products(inputs, weight, bias, is_mixed=self.is_mixed)


def grouped_squared_norms(layer: GroupedLinear, inputs: Tensor, backward: Tensor) -> Tensor:
    """Squared norm of each row's gradient of weights and biases, (num_rows,).

    A row's gradient of a group's weights is an outer product, whose squared norm is the product
    of its factors' ones. `backward` is the gradient of the loss with respect to the output.
    """
    of_inputs = inputs.square().sum(dim=2) + 1.0
    return (backward.square().sum(dim=2) * of_inputs).sum(dim=1)


def grouped_weighted_sums(
    layer: GroupedLinear, inputs: Tensor, backward: Tensor, weights: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Sums over rows of weight x gradient, for `weights` (num_rows,)."""
    weighted = backward * weights[:, None, None]
    return {
        layer.weight: torch.einsum("bgo,bgi->goi", weighted, inputs),
        layer.bias: weighted.sum(dim=0),
    }


def _products(inputs: Tensor, weight: Tensor, bias: Tensor, *, is_mixed: bool) -> Tensor:
    """The maps, with rows last in memory: a product of matrices for each group."""
    by_group, constant = inputs.permute(1, 2, 0), bias[:, :, None]
    if not is_mixed:
        return torch.baddbmm(constant, weight, by_group).permute(2, 0, 1)
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
        found = torch.bmm(weight, by_group)
    return (found.to(inputs.dtype) + constant).permute(2, 0, 1)
