"""Many small linear layers in one: a layer per node, all computed at once."""

import torch
from torch import Tensor, nn

__all__ = ["GroupedLinear", "grouped_linear_gradients"]


class GroupedLinear(nn.Module):
    """`num_groups` independent affine maps y_g = W_g x_g + b_g.

    Maps (num_rows, num_groups, num_inputs) to (num_rows, num_groups, num_outputs). Parameters
    start at zero.
    """

    def __init__(self, num_groups: int, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_groups, num_outputs, num_inputs))
        self.bias = nn.Parameter(torch.zeros(num_groups, num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """All groups."""
        return torch.einsum("bgi,goi->bgo", inputs, self.weight) + self.bias

    def some(self, inputs: Tensor, groups: Tensor) -> Tensor:
        """The chosen groups alone; `inputs` (num_rows, len(groups), num_inputs)."""
        return torch.einsum("bgi,goi->bgo", inputs, self.weight[groups]) + self.bias[groups]


def grouped_linear_gradients(
    layer: GroupedLinear, inputs: list[Tensor], backward: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Per-row gradients of a grouped layer: weights (num_rows, g, o, i), biases (num_rows, g, o).

    `backward` is the gradient of the loss with respect to the layer's output.
    """
    return {
        layer.weight: torch.einsum("bgo,bgi->bgoi", backward, inputs[0]),
        layer.bias: backward,
    }
