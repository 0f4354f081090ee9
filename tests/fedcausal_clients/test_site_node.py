import numpy as np
import pandas as pd
import pytest

from fedcausal_clients import site_node
from fedcausal_clients.data.site_data import survey_rows
from fedcausal_clients.home import open_home
from fedcausal_clients.run_state import load_run
from fedcausal_clients.site_node import answer
from fedcausal_privacy.messages import Message
from fedcausal_simulations import simulate
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture
def north(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [1.0] * 40}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    workspace = prepare_workspace(study, tables, tmp_path / "work", seed=1)
    with open_home(workspace / "north") as home:
        yield home


def test_the_new_state_and_the_reply_are_on_disk_before_the_reply_leaves(north, study):
    hello = Message(kind="query.hello", header={"run_id": "r1", "study": study.to_toml()})
    reply = answer(north, hello)
    kept = load_run(north.store, "r1")
    assert kept.reply == reply
    assert kept.answered(hello) == reply


def test_a_greeting_is_audited_like_everything_else(north, study):
    answer(north, Message(kind="query.hello", header={"run_id": "r1", "study": study.to_toml()}))
    assert '"event":"released"' in north.gate.audit.path.read_text()
    assert north.gate.ledger.entries() == ()


def test_rules_about_rows_look_at_the_rows_that_are_kept(study, tmp_path, monkeypatch):
    seen = []

    def looked(source, *given):
        found = survey_rows(source, *given)
        seen.append(found.num_rows)
        return found

    monkeypatch.setattr(site_node, "survey_rows", looked)
    rng = np.random.default_rng(0)
    frames = {
        name: pd.DataFrame({"age": rng.uniform(20, 60, 80), "dose": rng.uniform(0, 3, 80)})
        for name in ("north", "south", "west")
    }
    held = study.model_copy(update={"model": study.model.model_copy(update={"calibration": 0.25})})
    run = simulate(held, frames, out=tmp_path / "run", steps=["discovery"])
    kept = [rows for rows in seen if rows < 80]
    assert len(seen) - len(kept) == 3
    assert len(kept) >= 3
    assert run.findings["num_records"] == sum(kept[:3])
