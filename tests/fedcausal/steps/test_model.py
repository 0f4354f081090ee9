"""The half of a study after its graph: what is asked under which epsilon, and in which order."""

import numpy as np
import pytest

from fedcausal.errors import FedCausalError, StudyError
from fedcausal.protocol import start
from fedcausal.statistics.implied import is_implied
from fedcausal.steps.model import MODEL_STEPS, ask_for_model
from fedcausal_privacy.statistic_spec import Released

EFFECTS = {"effects": {"epsilon": 3.0}}
MODEL = {"model": {"epsilon": 3.0}}
SPLINES = {"family": "gram", "degree": 2, "knots": 4}


@pytest.mark.parametrize(
    ("privacy", "kind", "phase"),
    [
        ({}, "effect_patterns", "patterns"),
        (MODEL, "model_scale", "model_scales"),
        (EFFECTS, "effect_scale", "model_scales"),
        ({**MODEL, **EFFECTS}, "model_scale", "model_scales"),
    ],
)
def test_scales_come_first_under_an_epsilon(confounded, privacy, kind, phase):
    study = confounded.study(privacy=privacy)
    state = start(study, 3, 0)
    assert (state.phase, [request.kind for request in state.requests]) == (phase, [kind])
    assert is_implied(study, state.requests[0])


@pytest.mark.parametrize("privacy", [MODEL, EFFECTS, {**MODEL, **EFFECTS}])
def test_knots_are_asked_for_without_an_epsilon_alone(
    walk, noisy_walk, seeded_noise, confounded, privacy
):
    exact = confounded.study(model=SPLINES)
    sites = confounded.sites(exact, num_sites=3, rows_per_site=900, seed=0)
    phases = [state.phase for state in walk(exact, sites)]
    assert phases[:3] == ["patterns", "margins", "families"]
    noisy = noisy_walk(confounded.study(model=SPLINES, privacy=privacy), sites, seeded_noise())
    assert not any(name.startswith("margins") for name in noisy.digests)
    assert set(noisy.noisy_families) == set(noisy.families) == {"age", "drug", "pressure", "sex"}


@pytest.mark.parametrize("kind", ["noisy_families", "effect_families"])
def test_scales_of_a_private_graph_serve_the_families(noisy_walk, seeded_noise, confounded, kind):
    privacy = {"graph": {"epsilon": 3.0}, **(MODEL if kind == "noisy_families" else EFFECTS)}
    study = confounded.study(knowledge={}, privacy=privacy)
    sites = confounded.sites(study, num_sites=4, rows_per_site=300, seed=0)
    state = noisy_walk(study, sites, seeded_noise())
    kinds = {name.partition("-")[0] for name in state.digests}
    assert kind in kinds
    assert not kinds & {"model_scale", "effect_scale"}


def test_sites_are_compared_along_a_given_graph(confounded):
    study = confounded.study(discovery={"heterogeneity": True})
    state = start(study, 8, 0)
    assert (state.phase, [request.kind for request in state.requests]) == (
        "heterogeneity",
        ["heterogeneity"],
    )
    assert is_implied(study, state.requests[0])
    with pytest.raises(StudyError, match="8 sites or more, got 7"):
        start(study, 7, 0)


def test_a_study_that_wants_no_model_ends_with_its_graph(confounded):
    assert start(confounded.study(), 3, 0, steps=("discovery",)).done


def test_steps_out_of_their_order_are_refused(confounded):
    state = start(confounded.study(privacy=EFFECTS), 3, 0)
    zero = Released(totals=np.zeros(1, dtype=np.int64), withheld=np.zeros(1, dtype=bool))
    with pytest.raises(FedCausalError, match="no training is under way"):
        MODEL_STEPS["training"](state, {state.requests[0].id(): zero})
    assert ask_for_model(state).requests == state.requests
