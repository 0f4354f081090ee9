import torch
from torch.nn import functional

from fedcausal.model.grouped import (
    GroupedLinear,
    grouped_squared_norms,
    grouped_weighted_sums,
)


def layer():
    generator = torch.Generator().manual_seed(0)
    made = GroupedLinear(4, 3, 2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def inputs(groups=4):
    return torch.randn(7, groups, 3, generator=torch.Generator().manual_seed(1))


def test_each_group_is_its_own_linear_layer():
    made, x = layer(), inputs()
    for g in range(4):
        expected = functional.linear(x[:, g], made.weight[g], made.bias[g])
        torch.testing.assert_close(made(x)[:, g], expected)


def test_some_groups_are_those_of_all():
    made, x = layer(), inputs()
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(made.some(x[:, chosen], chosen), made(x)[:, chosen])


def test_norms_and_sums_of_rows_are_those_of_a_loop():
    made, x = layer(), inputs()
    backward = torch.randn(7, 4, 2, generator=torch.Generator().manual_seed(2))
    weights = torch.rand(7, generator=torch.Generator().manual_seed(3))
    norms, total = grouped_squared_norms(made, x, backward), [0.0, 0.0]
    for row in range(7):
        output = (made(x[row : row + 1]) * backward[row]).sum()
        parts = torch.autograd.grad(output, [made.weight, made.bias])
        expected = sum(part.square().sum() for part in parts)
        torch.testing.assert_close(norms[row], expected)
        total = [t + weights[row] * part for t, part in zip(total, parts, strict=True)]
    sums = grouped_weighted_sums(made, x, backward, weights)
    torch.testing.assert_close(sums[made.weight], total[0])
    torch.testing.assert_close(sums[made.bias], total[1])
