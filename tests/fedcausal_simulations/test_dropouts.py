"""A site that drops out of a simulated study, in both modes: who is missing, and what it costs."""

import json

import numpy as np
import pandas as pd
import pytest

from fedcausal.errors import DeadlineError, InputError
from fedcausal.results.summary import summary_lines
from fedcausal.study import Study
from fedcausal_simulations.silence import Silence
from fedcausal_simulations.simulation import simulate

SITES = ("east", "north", "south", "west")


def study(mode):
    kinds = {name: {"kind": "continuous", "bounds": [-9, 9]} for name in "xyz"}
    return Study.model_validate(
        {
            "variables": kinds,
            "privacy": {"mode": mode},
            "discovery": {"bootstrap": 5, "votes": False, "restarts": 1},
        }
    )


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(3)
    tables = {}
    for name in SITES:
        x = rng.normal(size=80)
        y = x + rng.normal(size=80)
        frame = pd.DataFrame({"x": x, "y": y, "z": y + rng.normal(size=80)})
        tables[name] = frame.clip(-9, 9)
    return tables


def run(out, tables, mode, *silent, steps=("discovery",)):
    return simulate(study(mode), tables, seed=1, out=out, steps=steps, silent=silent)


def ledger_of(path, site):
    return [e["release"] for e in json.loads((path / "ledger.json").read_text())[site]]


def attempts_of(run, site):
    """The attempts in which a site uploaded, from its own ledger."""
    releases = ledger_of(run.path, site)
    return sorted({int((r.partition("/")[0].partition(".")[2]) or 1) for r in releases})


def test_both_modes_give_the_same_answer_and_say_which_one_it_was(tmp_path, tables):
    totals = []
    for mode in ("masked", "two-steward"):
        found = run(tmp_path / mode, tables, mode)
        totals.append(found.result["exact"]["totals"])
        assert found.card["mode"] == mode
        assert found.card["second_steward"] == ("second-steward" if mode == "two-steward" else "")
        assert f"{mode}: " in " ".join(summary_lines(found))
        report = (found.path / "report.html").read_text()
        assert f"Mode {mode}" in report
        assert ("second-steward" in report) == (mode == "two-steward")
    assert totals[0] == totals[1]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("masked", "query.upload"),
        ("two-steward", "query.upload"),
        pytest.param("masked", "query.freeze", marks=pytest.mark.slow),
        pytest.param("masked", "query.advertise", marks=pytest.mark.slow),
        pytest.param("two-steward", "query.advertise", marks=pytest.mark.slow),
    ],
)
def test_the_study_goes_on_with_the_survivors_and_says_who_is_missing(
    tmp_path, tables, mode, kind
):
    left = run(tmp_path / "run", tables, mode, Silence(site="south", kind=kind))
    fewer = {name: table for name, table in tables.items() if name != "south"}
    alone = run(tmp_path / "alone", fewer, mode)
    assert left.graph.to_json() == alone.graph.to_json()
    assert left.result["exact"]["num_records"] == 240
    assert left.card["sites"] == ["east", "north", "west"]
    said = "south dropped out (no answer to " + kind + ")"
    assert said in " ".join(summary_lines(left))
    assert said in (left.path / "report.html").read_text()
    retried = mode == "masked" and kind == "query.upload"
    assert attempts_of(left, "east") == ([1, 2] if retried else [2] if "freeze" in kind else [1])


@pytest.mark.parametrize("mode", ["masked", pytest.param("two-steward", marks=pytest.mark.slow)])
def test_after_a_release_a_dropout_ends_the_run_unless_the_site_comes_back(tmp_path, tables, mode):
    late = {"site": "south", "kind": "query.upload", "after": 1}
    steps = ("discovery", "model")
    with pytest.raises(DeadlineError, match=r"south.*by subtraction"):
        run(tmp_path / "gone", tables, mode, Silence(**late), steps=steps)
    assert not (tmp_path / "gone").exists()
    back = run(tmp_path / "back", tables, mode, Silence(**late, returns_after=1), steps=steps)
    whole = run(tmp_path / "whole", tables, mode, steps=steps)
    assert back.result["exact"] == whole.result["exact"]
    assert "south dropped out, came back" in " ".join(summary_lines(back))


def test_too_few_are_left(tmp_path, tables):
    silent = [Silence(site=name, kind="query.upload") for name in ("south", "west")]
    with pytest.raises(DeadlineError, match=r"2 sites are left and 3 are needed"):
        run(tmp_path / "run", tables, "masked", *silent)


def test_a_quorum_asks_for_more(tmp_path, tables):
    strict = study("two-steward").model_dump(exclude_none=True)
    strict["rounds"] = {"quorum": 4}
    with pytest.raises(DeadlineError, match=r"3 sites are left and 4 are needed"):
        simulate(
            Study.model_validate(strict),
            tables,
            out=tmp_path / "run",
            steps=("discovery",),
            silent=[Silence(site="south", kind="query.upload")],
        )


def test_odd_silences_are_refused(tmp_path, tables):
    with pytest.raises(InputError, match="silent: expected sites of the run, got atlantis"):
        run(tmp_path / "run", tables, "masked", Silence(site="atlantis", kind="query.upload"))
    with pytest.raises(InputError, match="inprocess"):
        simulate(
            study("masked"),
            tables,
            engine="ray",
            out=tmp_path / "ray",
            silent=[Silence(site="south", kind="query.upload")],
        )


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_no_total_lacks_the_noise_of_a_missing_site(tmp_path, tables, mode):
    private = study(mode).model_dump(mode="json", exclude_none=True)
    private["privacy"]["graph"] = {"epsilon": 4.0}
    silent = [Silence(site="south", kind="query.upload")]
    with pytest.raises(DeadlineError, match="south") as caught:
        simulate(
            Study.model_validate(private),
            tables,
            seed=1,
            out=tmp_path / "run",
            steps=("discovery",),
            silent=silent,
        )
    assert "No wrong total" in str(caught.value) or "missing shares" in str(caught.value)
    assert not (tmp_path / "run").exists()
