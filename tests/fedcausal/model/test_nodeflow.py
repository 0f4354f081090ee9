import numpy as np
import pytest
import torch
from scipy import stats

from fedcausal.errors import ProtocolError
from fedcausal.model.nodeflow import build, from_vector, to_vector
from fedcausal.model.nodeflow_queries import log_prob, sample
from fedcausal.model.nodeflow_spec import NodeFlowSpec, NodeStart


def single(kind, bounds, levels=0):
    return NodeFlowSpec(
        names=("x",), kinds=(kind,), levels=(levels,), bounds=(bounds,), edges=(), bins=7
    )


def scaled_rows(spec, flow, num_rows=40, missing=0.0):
    rng = np.random.default_rng(1)
    values = sample(flow, num_rows, rng=rng)
    values[rng.random(values.shape) < missing] = np.nan
    return torch.from_numpy(spec.scale(values))


def _location(flow):
    drawn = sample(flow, 2000, rng=np.random.default_rng(0))[:, 0]
    return np.median(drawn), drawn.std()


@pytest.mark.parametrize("seed", range(3))
def test_a_density_integrates_to_one(make_bent, seed):
    flow = make_bent(single("continuous", (-2.0, 7.0)), seed, size=0.6)
    middle, spread = _location(flow)
    grid = middle + spread * np.linspace(-30.0, 30.0, 400_001)
    density = np.exp(log_prob(flow, grid[:, None])[:, 0])
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_ordinal_and_level_probabilities_sum_to_one(make_bent, seed):
    ordinal = make_bent(single("ordinal", (2.0, 9.0)), seed, size=0.6)
    codes = np.arange(2.0, 10.0)[:, None]
    assert np.exp(log_prob(ordinal, codes)).sum() == pytest.approx(1.0, abs=1e-6)
    discrete = make_bent(single("discrete", (0.0, 0.0), 4), seed)
    assert np.exp(log_prob(discrete, np.arange(4.0)[:, None])).sum() == pytest.approx(1.0)


def test_no_variable_but_the_parents_enters_a_mechanism(mixed_spec, mixed_flow):
    flow = mixed_flow.double()
    rows = scaled_rows(mixed_spec, flow)
    observed = torch.ones_like(rows, dtype=torch.bool)

    def heads(values):
        return flow.heads(values, observed)

    jacobian = torch.autograd.functional.jacobian(heads, rows[:1])[0, :, :, 0]
    strength = jacobian.abs().sum(dim=1)
    for child, name in enumerate(mixed_spec.names):
        for parent, other in enumerate(mixed_spec.names):
            if other not in mixed_spec.parents(name):
                assert strength[child, parent] == 0.0
            elif mixed_spec.kinds[parent] != "discrete":
                assert strength[child, parent] > 0.0


def test_levels_enter_their_children_alone(mixed_spec, mixed_flow):
    flow = mixed_flow.double()
    rows = scaled_rows(mixed_spec, flow)
    observed = torch.ones_like(rows, dtype=torch.bool)
    changed = rows.clone()
    changed[:, 1] = (rows[:, 1] + 1) % 3
    moved = (flow.heads(rows, observed) - flow.heads(changed, observed)).abs().amax(dim=(0, 2))
    children = [
        1 in [mixed_spec.index(p) for p in mixed_spec.parents(n)] for n in mixed_spec.names
    ]
    assert (moved > 0).tolist() == children


def test_a_number_that_equals_the_code_of_a_role_is_read_as_a_number(mixed_spec, mixed_flow):
    """Roles are told apart from numbers: -1 and -2 are values like others."""
    flow = mixed_flow.double()
    rows = scaled_rows(mixed_spec, flow)[:3]
    rows[:] = rows[0]
    rows[:, 0] = torch.tensor([-1.0 - 1e-9, -1.0, -1.0 + 1e-9], dtype=torch.float64)
    heads = flow.heads(rows, torch.ones_like(rows, dtype=torch.bool))[:, mixed_spec.index("b")]
    torch.testing.assert_close(heads[0], heads[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(heads[1], heads[2], atol=1e-6, rtol=0)


def test_some_heads_are_those_of_all(mixed_spec, mixed_flow):
    rows = scaled_rows(mixed_spec, mixed_flow).float()
    observed = torch.ones_like(rows, dtype=torch.bool)
    nodes = torch.tensor([4, 2])
    torch.testing.assert_close(
        mixed_flow.some_heads(rows, observed, nodes), mixed_flow.heads(rows, observed)[:, nodes]
    )


def test_only_observed_nodes_count(mixed_spec, mixed_flow):
    flow = mixed_flow.double()
    rows = scaled_rows(mixed_spec, flow, missing=0.3)
    logs = flow.log_prob(rows)
    assert (logs[rows.isnan()] == 0.0).all()
    torch.testing.assert_close(flow(rows), -logs.sum(dim=1))


def test_gradients_are_finite_with_missing_and_extreme_values(mixed_spec, mixed_flow):
    rows = scaled_rows(mixed_spec, mixed_flow, missing=0.3).float()
    rows[0, [0, 2]] = torch.tensor([50.0, -50.0])
    loss = mixed_flow(rows).sum()
    gradients = torch.autograd.grad(loss, list(mixed_flow.parameters()))
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients)


def test_the_vector_holds_everything(mixed_spec, mixed_flow):
    vector = to_vector(mixed_flow)
    assert vector.dtype == np.float32
    assert vector.shape == (mixed_spec.num_parameters,)
    assert np.array_equal(to_vector(from_vector(mixed_spec, vector)), vector)
    rows = scaled_rows(mixed_spec, mixed_flow).float()
    assert torch.equal(from_vector(mixed_spec, vector)(rows), mixed_flow(rows))


def test_the_seed_decides_the_start(mixed_spec):
    first, again, other = (to_vector(build(mixed_spec, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_vector_of_another_length_is_refused(mixed_spec):
    with pytest.raises(ProtocolError, match="parameters"):
        from_vector(mixed_spec, np.zeros(3, dtype=np.float32))


def test_training_sets_out_from_a_linear_model(mixed_spec):
    start = {
        "a": NodeStart(intercept=0.5, scale=1.2),
        "b": NodeStart(probabilities=(0.2, 0.5, 0.3)),
        "c": NodeStart(intercept=3.0, slopes={"a": (0.7,), "b": (0.0, 1.0, -1.0)}, scale=0.4),
        "z": NodeStart(intercept=110.0, slopes={"c": (4.0,)}, scale=3.0),
    }
    flow = build(mixed_spec, 7, start=start)
    values = sample(flow, 50, rng=np.random.default_rng(0))
    a, b, c, _, _, z = values.T
    expected = {
        0: stats.norm(0.5, 1.2).logpdf(a),
        1: np.log(np.array([0.2, 0.5, 0.3]))[b.astype(int)],
        2: stats.norm(3.0 + 0.7 * a + np.array([0.0, 1.0, -1.0])[b.astype(int)], 0.4).logpdf(c),
        5: stats.norm(110.0 + 4.0 * c, 3.0).logpdf(z),
    }
    logs = log_prob(flow, values)
    for node, column in expected.items():
        np.testing.assert_allclose(logs[:, node], column, atol=1e-4)


def test_tables_move_with_the_parameters(mixed_spec, make_bent):
    flow = make_bent(mixed_spec, size=0.05)
    rows = scaled_rows(mixed_spec, flow)
    single_precision = flow(rows.float()).double()
    torch.testing.assert_close(flow.double()(rows), single_precision, atol=1e-3, rtol=1e-3)


def test_there_are_no_buffers(mixed_flow):
    assert list(mixed_flow.buffers()) == []
