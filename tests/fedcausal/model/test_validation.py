"""The loss on held-out rows: what it is, what may be asked, what noise it carries."""

import numpy as np
import pytest

from fedcausal.data.table import Table
from fedcausal.errors import ProtocolError
from fedcausal.model.held_out import is_held_out
from fedcausal.model.members import stacked
from fedcausal.model.nodeflow import build, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.training_plan import training_plan
from fedcausal.model.validation import MAX_LOSS, STEPS, LossKind, loss_release, validation_request
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

KIND = LossKind()


def study_of(privacy=None, **model):
    return Study.model_validate(
        {
            "variables": {
                "x": {"kind": "continuous", "bounds": [-4.0, 4.0]},
                "y": {"kind": "continuous", "bounds": [-8.0, 8.0]},
            },
            "privacy": privacy or {},
            "model": {
                "family": "nodeflow",
                "rounds": 3,
                "hidden": 4,
                "bins": 3,
                "patience": 1,
                "held_out": 0.25,
                **model,
            },
        }
    )


STUDY = study_of()
PRIVATE = study_of(privacy={"model": {"epsilon": 8.0}})
SPEC = NodeFlowSpec.from_schema(STUDY.schema(), [("x", "y")], hidden=4, bins=3)


def site(num_rows=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=num_rows)
    return Table(STUDY.schema(), np.column_stack([x, x + rng.normal(size=num_rows)]))


def plan_for(study):
    part = study.privacy.model
    epsilon = None if part is None else part.epsilon
    return training_plan(study.model, epsilon=epsilon, delta=1e-5, device="cpu")


def asked(study, index=1, members=1):
    weights = to_vector(build(stacked(SPEC, members), 0))
    return validation_request(SPEC, round_index=index, weights=weights), weights


def measured(study, table, noise=None, members=1):
    request, weights = asked(study, members=members)
    return KIND.measure(study, request, table, weights=weights, plan=plan_for(study), noise=noise)


@pytest.mark.parametrize("members", [1, 3])
def test_it_is_the_mean_loss_of_rows_that_nobody_trains_on(members):
    study, tables = study_of(members=members), [site(seed=k) for k in range(3)]
    request, _ = asked(study, members=members)
    total = sum(measured(study, t, members=members) for t in tables)
    released = apply_cell_rule(total, KIND.spec(study, request, 3))
    rows = np.concatenate([t.values for t in tables])
    held = SPEC.scale(rows[is_held_out(rows, 0.25)])
    expected = np.mean(
        0.5 * held**2 + 0.5 * np.log(2 * np.pi)
    )  # every flow starts standard normal
    assert loss_release(study, released) == pytest.approx(expected, abs=1e-3)
    assert total[1] == len(held)


def test_few_held_out_rows_show_nothing():
    request, _ = asked(STUDY)
    spec = KIND.spec(STUDY, request, 3)
    released = apply_cell_rule(np.array([STEPS, 2]), spec)
    assert loss_release(STUDY, released) is None


def test_under_an_epsilon_it_leaves_with_noise_of_the_charged_size():
    drawn = []

    def noise(scales):
        drawn.append(scales)
        return np.zeros(2, dtype=np.int64)

    vector = measured(PRIVATE, site(), noise=noise)
    event = KIND.event(plan_for(PRIVATE))
    (scales,) = drawn
    assert scales == pytest.approx(event.sensitivity * event.noise_multiplier * STEPS)
    count = vector[1] / (MAX_LOSS * STEPS)
    assert count == is_held_out(site().values, 0.25).sum()
    released = Released(totals=vector, withheld=np.zeros(2, dtype=bool))
    assert loss_release(PRIVATE, released) == pytest.approx(vector[0] / STEPS / count)
    with pytest.raises(ProtocolError, match="noise"):
        measured(PRIVATE, site())


def test_one_row_moves_it_by_its_sensitivity_at_most():
    """Also a row far outside, whose loss is clipped."""
    table = site()
    odd = np.array([[1e6, -1e6]])
    assert is_held_out(odd, 0.25).any() or True
    more = Table(STUDY.schema(), np.concatenate([table.values, np.repeat(odd, 1, axis=0)]))
    zero = lambda scales: np.zeros(2, dtype=np.int64)  # noqa: E731
    difference = measured(PRIVATE, more, noise=zero) - measured(PRIVATE, table, noise=zero)
    assert np.hypot(*difference) <= KIND.event(plan_for(PRIVATE)).sensitivity * STEPS * (1 + 1e-9)


@pytest.mark.parametrize("change", [{"round": 0}, {"round": 4}, {"round": True}, {"extra": 1}])
def test_other_requests_are_refused(change):
    request, _ = asked(STUDY)
    other = Request(kind="validation", parameters={**request.parameters, **change})
    with pytest.raises(ProtocolError):
        KIND.spec(STUDY, other, 3)


def test_a_study_without_patience_has_no_loss():
    request, _ = asked(STUDY)
    with pytest.raises(ProtocolError, match="patience"):
        KIND.spec(study_of(patience=0), request, 3)


def test_other_weights_than_the_request_names_are_refused():
    request, weights = asked(STUDY)
    with pytest.raises(ProtocolError, match="weights"):
        KIND.measure(STUDY, request, site(), weights=weights + 1, plan=plan_for(STUDY))


def test_totals_of_another_shape_are_refused():
    with pytest.raises(ProtocolError, match="two numbers"):
        loss_release(STUDY, Released(totals=np.zeros(3), withheld=np.zeros(3, dtype=bool)))
    assert KIND.width(STUDY, asked(STUDY)[0]) == 1
