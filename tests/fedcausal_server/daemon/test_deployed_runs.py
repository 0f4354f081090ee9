import json
from dataclasses import replace

import pytest

from fedcausal.errors import (
    DeadlineError,
    DisclosureError,
    FedCausalError,
    InputError,
    LinkError,
    ProtocolError,
)
from fedcausal_server.daemon import deployed_runs
from fedcausal_server.daemon.deployed_runs import (
    abort_run,
    close_orphans,
    prepare_run,
    run_names,
    run_status,
    submit_run,
    watch_run,
)
from fedcausal_server.failure import noted_failure, read_failure
from fedcausal_server.store.postgresql_store import STORE_CHOICE

STEPS = ("discovery",)


@pytest.fixture
def home(coordinator_home, control, join, monkeypatch):
    monkeypatch.setattr(deployed_runs, "POLL_SECONDS", 0.01)
    for name in ("a", "b", "c"):
        join(name)
    join("key-keeper", "steward")
    return coordinator_home


@pytest.fixture
def name(home, small_study):
    return prepare_run(home, small_study, seed=3, steps=STEPS)


def watched(home, name, seconds=5.0):
    return watch_run(home, name, seconds=seconds, say=lambda line: None)


def test_a_run_names_its_parties_with_their_nodes(home, control, name):
    submit_run(home, name)
    nodes = json.loads((home.workspace(name) / "nodes.json").read_bytes())
    assert [(n["name"], n["role"]) for n in nodes] == [
        ("a", "site"),
        ("b", "site"),
        ("c", "site"),
        ("key-keeper", "steward"),
    ]
    assert {n["node_id"] for n in nodes} == set(control.known.values())
    (config,) = control.configs
    assert (config["seed"], config["steps"]) == (3, "discovery")
    assert (name, run_names(home)) == ("small-1", ("small-1",))


def test_a_run_ends_as_flower_says(home, control, name):
    run_id = submit_run(home, name)
    assert run_status(home, name) == "running"
    home.run_folder(name).mkdir(parents=True)
    (home.run_folder(name) / "result.json").write_text("{}")
    control.put(run_id, "finished", "completed")
    assert watched(home, name).out == home.run_folder(name)
    assert run_status(home, name) == "finished"
    with pytest.raises(InputError, match="is finished"):
        submit_run(home, name)


def test_a_failure_keeps_its_kind_and_exit_code(home, control, name):
    run_id = submit_run(home, name)
    with pytest.raises(DisclosureError), noted_failure(home.workspace(name)):
        raise DisclosureError("a: TOO_FEW_ROWS")
    control.put(run_id, "finished", "failed", "ServerApp failed")
    with pytest.raises(DisclosureError, match="a: TOO_FEW_ROWS"):
        watched(home, name)


def test_a_killed_run_says_what_to_do(home, control, name):
    control.put(submit_run(home, name), "finished", "failed", "No heartbeat")
    with pytest.raises(LinkError, match=r"No heartbeat.*resume"):
        watched(home, name)
    assert submit_run(home, name) == 2
    assert control.configs[0] == control.configs[1]


def test_completed_without_a_result_is_a_failure(home, control, name):
    control.put(submit_run(home, name), "finished", "completed")
    with pytest.raises(LinkError):
        watched(home, name)


def test_a_wait_ends_and_the_run_goes_on(home, control, name):
    submit_run(home, name)
    with pytest.raises(DeadlineError, match=r"waited 0.05 s for run 'small-1'"):
        watched(home, name, seconds=0.05)
    assert submit_run(home, name) == 2
    assert control.stopped == [1]


def test_an_aborted_run_can_be_resumed(home, control, name):
    assert not abort_run(home, name)
    run_id = submit_run(home, name)
    assert abort_run(home, name)
    assert control.stopped == [run_id]
    control.put(run_id, "finished", "stopped")
    with pytest.raises(FedCausalError, match="was aborted"):
        watched(home, name)
    assert not abort_run(home, name)
    assert submit_run(home, name) == 2


def test_a_superlink_that_is_away_is_waited_for(home, control, name, monkeypatch):
    run_id = submit_run(home, name)
    answers = iter([LinkError("away"), DeadlineError("slow"), LinkError("HTTP 500")])
    ended = control.run

    def run(number):
        for error in answers:
            raise error
        control.put(run_id, "finished", "stopped")
        return ended(number)

    monkeypatch.setattr(control, "run", run)
    with pytest.raises(FedCausalError, match="was aborted"):
        watched(home, name)


def test_runs_of_a_killed_coordinator_are_closed_with_a_word(home, control, name, small_study):
    run_id = submit_run(home, name)
    done = prepare_run(home, small_study, seed=3, steps=STEPS, name="done")
    control.put(submit_run(home, done), "finished", "completed")
    prepare_run(home, small_study, seed=3, steps=STEPS, name="never")
    waiting = prepare_run(home, small_study, seed=3, steps=STEPS, name="waiting")
    control.put(submit_run(home, waiting), "pending")
    assert close_orphans(home) == (name,)
    assert control.stopped == [run_id]
    control.put(run_id, "finished", "stopped")
    with pytest.raises(LinkError, match=r"killed while run 'small-1' .* resume it"):
        watched(home, name)
    control.put(submit_run(home, name), "finished", "stopped")
    with pytest.raises(FedCausalError, match="was aborted"):
        watched(home, name)


def test_a_run_that_is_being_resumed_is_no_orphan(home, control, name, monkeypatch):
    submit_run(home, name)
    monkeypatch.setattr(control, "stop_run", lambda run_id: False)
    assert close_orphans(home) == ()
    assert read_failure(home.workspace(name)) is None


def test_parties_are_checked_before_anything_is_written(
    coordinator_home, control, join, small_study
):
    for name in ("a", "b", "c"):
        join(name)
    with pytest.raises(InputError, match="one enrolled steward"):
        prepare_run(coordinator_home, small_study, seed=0, steps=STEPS)
    join("key-keeper", "steward")
    with pytest.raises(InputError, match="--sites z"):
        prepare_run(coordinator_home, small_study, seed=0, steps=STEPS, sites=["z"])
    with pytest.raises(InputError):
        prepare_run(coordinator_home, small_study, seed=0, steps=STEPS, sites=["a"])
    assert run_names(coordinator_home) == ()


def test_a_name_is_used_once(home, small_study):
    prepare_run(home, small_study, seed=0, steps=STEPS, name="one")
    with pytest.raises(InputError, match="exists"):
        prepare_run(home, small_study, seed=0, steps=STEPS, name="one")
    with pytest.raises(InputError, match=r"one of this coordinator's runs \(one\)"):
        submit_run(home, "../one")


def test_a_party_that_left_ends_the_submission(home, control, name):
    with home.changed_book() as held:
        held[0] = held[0].remove("b")
    with pytest.raises(ProtocolError, match="'b' is enrolled no longer"):
        submit_run(home, name)


def test_a_run_in_a_database_has_a_key_of_its_own(home, small_study):
    url = "postgresql://causal@db.example/studies"
    there = replace(home, config=home.config.model_copy(update={"store": url}))
    names = [prepare_run(there, small_study, seed=1, steps=STEPS) for _ in "ab"]
    chosen = [json.loads((home.workspace(name) / STORE_CHOICE).read_bytes()) for name in names]
    assert [choice["url"] for choice in chosen] == [url, url]
    keys = [choice["run"] for choice in chosen]
    assert len(set(keys)) == 2
    assert all(key.startswith(name) for key, name in zip(keys, names, strict=True))
