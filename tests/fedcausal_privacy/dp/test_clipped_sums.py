import pytest
import torch
from torch import nn

from fedcausal_privacy.dp.clipped_sums import ClippedSums, LayerRule
from fedcausal_privacy.errors import InputError

ROWS = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))


class Plain(nn.Linear):
    """A linear layer under a name that Opacus does not know."""


def norms(layer, inputs, backward):
    return backward.square().sum(dim=1) * (inputs.square().sum(dim=1) + 1.0)


def sums(layer, inputs, backward, weights):
    weighted = backward * weights[:, None]
    return {layer.weight: weighted.T @ inputs, layer.bias: weighted.sum(dim=0)}


RULES = {Plain: LayerRule(squared_norms=norms, weighted_sums=sums)}


def chain(*layers):
    torch.manual_seed(1)
    made = [layer() for layer in layers]
    parts = []
    for layer in made:
        parts += [layer, nn.Tanh()]
    return nn.Sequential(*parts)


def loss(model, rows):
    return model(rows).square().sum(dim=1)


def loop(model, rows, clip):
    """Clipped gradients one by one, summed."""
    parameters, total = list(model.parameters()), None
    for row in rows:
        parts = torch.autograd.grad(loss(model, row[None]).sum(), parameters)
        norm = torch.cat([p.reshape(-1) for p in parts]).norm()
        scaled = [p * min(1.0, clip / float(norm)) for p in parts]
        total = scaled if total is None else [t + s for t, s in zip(total, scaled, strict=True)]
    return total


def taken(model, rows, clip):
    with ClippedSums(model, RULES) as book:
        torch.autograd.backward(loss(model, rows).sum())
        found = book.take(len(rows), clip)
    return [found[p] for p in model.parameters()]


@pytest.mark.parametrize("clip", [0.01, 0.5, 1e6])
@pytest.mark.parametrize(
    "layers",
    [
        (lambda: Plain(5, 4), lambda: Plain(4, 2)),
        (lambda: Plain(5, 4), lambda: nn.Linear(4, 2)),
        (lambda: nn.Linear(5, 4), lambda: nn.LayerNorm(4), lambda: Plain(4, 2)),
        (lambda: nn.Linear(5, 2),),
    ],
)
def test_sums_are_those_of_a_loop_over_rows(layers, clip):
    model = chain(*layers)
    for ours, expected in zip(taken(model, ROWS, clip), loop(model, ROWS, clip), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_a_layer_of_opacus_may_be_used_twice():
    torch.manual_seed(2)
    layer = nn.Linear(5, 5)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    for ours, expected in zip(taken(model, ROWS, 0.3), loop(model, ROWS, 0.3), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_a_layer_with_a_rule_may_not():
    layer = Plain(5, 5)
    with pytest.raises(InputError, match="twice"):
        taken(nn.Sequential(layer, nn.Tanh(), layer), ROWS, 1.0)


def test_a_layer_that_nobody_knows_is_an_error():
    with pytest.raises(InputError, match="PReLU"):
        ClippedSums(nn.Sequential(nn.Linear(5, 2), nn.PReLU()), RULES)


def test_a_shared_parameter_is_an_error():
    first, second = nn.Linear(5, 5), nn.Linear(5, 5)
    second.weight = first.weight
    with pytest.raises(InputError, match="share"):
        ClippedSums(nn.Sequential(first, second), RULES)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("kind", [Plain, nn.Linear])
def test_a_row_without_a_finite_gradient_counts_as_zero(kind, poison):
    model = nn.Sequential(kind(5, 2))
    bad = torch.cat([ROWS, torch.full((1, 5), poison)])
    for ours, expected in zip(taken(model, bad, 0.3), loop(model, ROWS, 0.3), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_the_model_is_left_as_it_was():
    model = chain(lambda: Plain(5, 4), lambda: nn.Linear(4, 2))
    taken(model, ROWS, 1.0)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def test_no_pass_no_sums():
    with ClippedSums(chain(lambda: Plain(5, 2)), RULES) as book:
        assert book.take(0, 1.0) == {}
