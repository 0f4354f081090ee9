"""Effects under an epsilon of their own, from rows to the report, through the secure sum."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import StudyError
from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import event_from_json
from fedcausal_simulations import simulate

SECTIONS = {
    "study": {"name": "effects"},
    "variables": {
        "age": {"kind": "continuous", "bounds": [-4, 4]},
        "drug": {"kind": "binary", "categories": ["no", "yes"]},
        "pressure": {"kind": "continuous", "bounds": [-10, 10], "unit": "mmHg"},
    },
    "knowledge": {"graph": "digraph {age -> drug; age -> pressure; drug -> pressure}"},
    "discovery": {"site_effects": "pool"},
    "model": {"family": "gram", "degree": 1},
    "privacy": {"effects": {"epsilon": 4.0}},
    "effects": {
        "queries": [{"treatment": "drug", "outcome": "pressure", "values": ["no", "yes"]}],
        "draws": 20,
        "samples": 500,
    },
}


def rows(seed, num_rows=2500):
    rng = np.random.default_rng(seed)
    age = rng.normal(size=num_rows).clip(-4, 4)
    drug = rng.random(num_rows) < 1 / (1 + np.exp(-0.7 * age))
    pressure = (1.5 * age + 2.0 * drug + rng.normal(size=num_rows)).clip(-10, 10)
    return pd.DataFrame({"age": age, "drug": np.where(drug, "yes", "no"), "pressure": pressure})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    sites = {name: rows(seed) for seed, name in enumerate(("east", "north", "south", "west"))}
    out = tmp_path_factory.mktemp("effects") / "run"
    return simulate(Study.model_validate(SECTIONS), sites, out=out, seed=1)


def test_every_site_was_charged_to_the_effects_within_their_epsilon(run):
    for entries in run.ledger.values():
        assert {entry["part"] for entry in entries} == {"effects"}
        assert [entry["description"] for entry in entries] == [
            "effect_scale",
            "effect_families",
            "noisy_residuals",
            "noisy_aipw",
        ]
        events = [event_from_json(entry["event"]) for entry in entries]
        assert 3.8 < epsilon_of(events, 1e-5) <= 4.0


def test_the_answer_has_both_estimates(run):
    (effect,) = run.effects
    second = effect["second"]
    assert second["noise"] > 0
    # About eleven standard errors of each.
    assert second["estimate"] == pytest.approx(2.0, abs=0.7)
    assert second["interval"][0] < second["estimate"] < second["interval"][1]
    assert second["sentence"].startswith("A doubly robust estimate (AIPW)")


def test_everything_learnt_with_noise_is_in_the_noised_part(run):
    assert {"mechanisms", "answers", "model_totals"} <= set(run.result["noised"])
    assert run.result["exact"]["totals"] == {}


def test_the_report_shows_the_second_estimate(run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "A doubly robust estimate (AIPW)" in page
    assert "noise drawn for privacy included" in page


def test_it_needs_public_bounds():
    variables = {**SECTIONS["variables"], "age": {"kind": "continuous"}}
    with pytest.raises(
        StudyError, match=r"variables\.age\.bounds: differential privacy of the ef"
    ):
        Study.model_validate({**SECTIONS, "variables": variables})
