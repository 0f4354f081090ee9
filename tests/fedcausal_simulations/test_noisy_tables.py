"""A graph from noisy contingency tables, through the secure sum, to the run folder."""

import numpy as np
import pandas as pd
import pytest

from fedcausal.study import Study
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import event_from_json
from fedcausal_simulations import simulate

STUDY = Study.model_validate(
    {
        "study": {"name": "levels"},
        "variables": {name: {"kind": "binary"} for name in "abc"},
        "discovery": {"tests": "tables", "algorithm": "pc", "votes": False},
        "privacy": {"graph": {"epsilon": 8.0}},
    }
)


def rows(seed, num_rows=3000):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 2, num_rows)
    b = np.where(rng.random(num_rows) < 0.9, a, 1 - a)
    c = np.where(rng.random(num_rows) < 0.9, b, 1 - b)
    return pd.DataFrame({"a": a, "b": b, "c": c})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    sites = {name: rows(seed) for seed, name in enumerate(("east", "north", "west"))}
    out = tmp_path_factory.mktemp("tables") / "run"
    return simulate(STUDY, sites, out=out, seed=1, steps=("discovery",))


def test_true_edges_stay_through_the_noise(run):
    """Their dependence is more than a hundred times the noise in a cell."""
    pairs = {frozenset((edge.source, edge.target)) for edge in run.graph.edges}
    assert {frozenset("ab"), frozenset("bc")} <= pairs


def test_each_site_was_charged_within_the_epsilon(run):
    for entries in run.ledger.values():
        assert {entry["description"] for entry in entries} == {"noisy_tables"}
        assert {entry["part"] for entry in entries} == {"graph"}
        events = [event_from_json(entry["event"]) for entry in entries]
        assert epsilon_of(events, 1e-5) <= 8.0


def test_what_was_learnt_is_in_the_noised_part(run):
    assert "graph" in run.result["noised"]
    assert "graph" not in run.result["exact"]
    assert "noisy contingency tables" in run.card["privacy"][0]["sentence"]
