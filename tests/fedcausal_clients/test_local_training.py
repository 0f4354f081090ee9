import numpy as np
import pytest

from fedcausal.errors import ProtocolError
from fedcausal.statistics.kind import Request
from fedcausal_clients.local_training import prepare_training


def test_training_needs_its_weights(study):
    with pytest.raises(ProtocolError, match="without its weights"):
        prepare_training(study, Request(kind="update"), {})


def test_a_request_for_another_model(study):
    with pytest.raises(ProtocolError):
        prepare_training(study, Request(kind="update"), {"weights": b""})


@pytest.mark.parametrize("epsilon", [None, 3.0])
def test_the_cost_is_known_before_anything_is_drawn(new_study, epsilon):
    from fedcausal.model.nodeflow_spec import NodeFlowSpec
    from fedcausal.model.update import update_request, weights_to_bytes

    privacy = {} if epsilon is None else {"model": {"epsilon": epsilon}}
    study = new_study(privacy=privacy)
    spec = NodeFlowSpec.from_schema(
        study.schema(), [("age", "dose")], hidden=study.model.hidden, bins=study.model.bins
    )
    weights = np.zeros(spec.num_parameters, dtype=np.float32)
    request = update_request(spec, round_index=0, rounds=study.model.rounds, weights=weights)
    training = prepare_training(study, request, {"weights": weights_to_bytes(weights)})
    assert training.weights.shape == (spec.num_parameters,)
    assert (training.event is None) == (epsilon is None)
