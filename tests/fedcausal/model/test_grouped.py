import torch
from torch.nn import functional

from fedcausal.model.grouped import GroupedLinear, grouped_linear_gradients


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


def test_gradients_of_rows_are_those_of_a_loop():
    made, x = layer(), inputs()
    backward = torch.randn(7, 4, 2, generator=torch.Generator().manual_seed(2))
    ours = grouped_linear_gradients(made, [x], backward)
    for row in range(7):
        output = (made(x[row : row + 1]) * backward[row]).sum()
        expected = torch.autograd.grad(output, [made.weight, made.bias])
        torch.testing.assert_close(ours[made.weight][row], expected[0])
        torch.testing.assert_close(ours[made.bias][row], expected[1])
