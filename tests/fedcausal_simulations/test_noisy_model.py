"""A closed-form model under an epsilon, from rows to effects."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import event_from_json
from fedcausal_simulations import simulate

SECTIONS = {
    "study": {"name": "closed"},
    "variables": {
        "a": {"kind": "continuous", "bounds": [-4, 4]},
        "b": {"kind": "continuous", "bounds": [-6, 6]},
        "c": {"kind": "binary"},
    },
    "discovery": {"bootstrap": 2, "votes": False},
    "knowledge": {"tiers": [["a"], ["b"], ["c"]]},
    "model": {"family": "gram", "degree": 2},
    "privacy": {"model": {"epsilon": 3.0}},
    "effects": {"queries": [{"treatment": "a", "outcome": "b", "values": [0, 1]}]},
}


def rows(num_rows, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=num_rows).clip(-4, 4)
    b = (a + 0.7 * rng.normal(size=num_rows)).clip(-6, 6)
    return pd.DataFrame({"a": a, "b": b, "c": (b + rng.normal(size=num_rows) > 0) * 1})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    sites = {name: rows(1500, seed) for seed, name in enumerate(("east", "north", "west"))}
    folder = tmp_path_factory.mktemp("closed")
    return simulate(Study.model_validate(SECTIONS), sites, out=folder / "run", seed=3)


def test_effects_are_answered_through_the_noise(run):
    (effect,) = run.effects
    # Over 10 runs: .91 to 1.01, with a standard deviation of .03.
    assert effect["estimate"] == pytest.approx(1.0, abs=0.3)


def test_only_noised_family_sums_left_for_the_model(run):
    for entries in run.ledger.values():
        of_model = [entry for entry in entries if entry["part"] == "model"]
        kinds = [entry["description"] for entry in of_model]
        assert kinds == ["model_scale", "noisy_families"]
        events = [event_from_json(entry["event"]) for entry in of_model]
        assert 2.9 < epsilon_of(events, 1e-5) <= 3.0
        kinds = {entry["description"] for entry in entries}
        assert not kinds & {"families", "residuals", "update"}


def test_the_model_is_in_the_noised_part_and_the_graph_in_the_exact_one(run):
    assert "graph" in run.result["exact"]
    assert {"mechanisms", "answers", "model_totals"} <= set(run.result["noised"])
    for kind in ("noisy", "scale"):
        assert not any(kind in name for name in run.result["exact"]["totals"])


def test_it_needs_public_bounds():
    variables = {**SECTIONS["variables"], "a": {"kind": "continuous"}}
    with pytest.raises(StudyError, match=r"variables\.a\.bounds: differential privacy of the cl"):
        Study.model_validate({**SECTIONS, "variables": variables})
