"""Sites that lie in a whole study: ruinous without a defence, named and harmless with it."""

import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import DataError, DisclosureError
from fedcausal.study import Study
from fedcausal_simulations.liars import lying
from fedcausal_simulations.simulation import simulate

NAMES = ("x", "y", "z")
TRUTH = 0.8
ALLOWED = {"release_alone": True}


def study(robust, mode="masked"):
    return Study.model_validate(
        {
            "variables": {n: {"kind": "continuous", "bounds": [-15, 15]} for n in NAMES},
            "knowledge": {"tiers": [[name] for name in NAMES]},
            "discovery": {"votes": False, "bootstrap": 0},
            "privacy": {"incomplete": "drop", "mode": mode},
            "model": {"knots": 0, "degree": 1},
            "federation": {"robust": robust},
            "effects": {
                "queries": [{"treatment": "x", "outcome": "y", "values": [0.0, 1.0]}],
                "draws": 10,
            },
        }
    )


def tables(num_sites, poisoned=(), seed=7):
    rng, found = np.random.default_rng(seed), {}
    for k in range(num_sites):
        sign = -1 if f"s{k}" in poisoned else 1
        rows = rng.normal(size=(int(rng.integers(150, 300)), 3)) + rng.normal(size=3)
        rows[:, 1] += sign * 0.8 * rows[:, 0]
        rows[:, 2] += sign * 0.7 * rows[:, 1]
        found[f"s{k}"] = pd.DataFrame(rows, columns=NAMES)
    return found


def run(out, robust, lies, num_sites=7, poisoned=(), mode="masked", policy=ALLOWED):
    with lying(lies):
        rows = tables(num_sites, poisoned)
        return simulate(study(robust, mode), rows, seed=0, policy=policy, out=out)


def error(run):
    return abs(run.effects[0]["estimate"] - TRUTH)


def test_two_liars_of_seven_ruin_the_sums_and_are_named_in_the_robust_mode(tmp_path):
    lies = {"s1": "flipped", "s4": "flipped"}
    ruined = run(tmp_path / "off", 0, lies)
    saved = run(tmp_path / "on", 2, lies, mode="two-steward")
    standard_error = np.sqrt(1 / 1500)
    assert error(ruined) > 5 * standard_error
    assert error(saved) < 2 * standard_error
    named = {(one["site"], one["why"]) for one in saved.card["set_aside"]}
    assert named == {("s1", "apart"), ("s4", "apart")}
    assert set(saved.card["sites"]) == {"s0", "s2", "s3", "s5", "s6"}
    report = (saved.path / "report.html").read_text()
    assert "s1 was set aside: it does not agree with the others" in report
    assert "site, set aside" in report
    ledgers = json.loads((saved.path / "ledger.json").read_text())
    assert len(ledgers["s1"]) < len(ledgers["s0"])  # it was not asked again
    assert {e["description"] for e in ledgers["s0"]} == {
        "gram; of this site alone",
        "families; of this site alone",
    }
    audit = (saved.path / "journal" / "audit.jsonl").read_text()
    assert '"set_aside":[{"kind":"gram","site":"s1","why":"apart"' in audit


def test_a_liar_beyond_the_bounds_stops_plain_sums_with_a_word(tmp_path):
    lies = dict.fromkeys(["s0", "s1", "s2", "s3"], "scaled")
    with pytest.raises(DataError, match=r"none that rows can give.*\[federation\] robust"):
        run(tmp_path / "off", 0, lies)
    assert not (tmp_path / "off").exists()


def test_a_policy_that_is_silent_refuses_to_release_a_site_alone(tmp_path):
    with pytest.raises(DisclosureError, match="not-alone"):
        run(tmp_path / "no", 2, {}, policy=None)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("lie", ["scaled", "swollen", "flipped", "negated", "fewer", "poisoned"])
def test_up_to_three_liars_of_ten(tmp_path, lie, most):
    liars = [f"s{k}" for k in range(most)]
    poisoned = liars if lie == "poisoned" else ()
    lies = {} if poisoned else dict.fromkeys(liars, lie)
    clean = run(tmp_path / "clean", 0, {}, num_sites=10)
    saved = run(tmp_path / "on", 3, lies, num_sites=10, poisoned=poisoned)
    standard_error = np.sqrt(1 / 2200)
    assert error(saved) < 2 * standard_error
    if lie in ("scaled", "negated"):
        bounds = {one["site"] for one in saved.card["set_aside"] if one["why"] == "bounds"}
        assert bounds == set(liars)
    assert saved.graph.to_json()["edges"] == clean.graph.to_json()["edges"]
