from fedcausal_server.daemon import overview as module
from fedcausal_server.daemon.deployed_runs import prepare_run, submit_run
from fedcausal_server.daemon.overview import overview


def test_all_is_seen_at_a_glance(coordinator_home, control, join, small_study):
    for name in ("a", "b", "c"):
        join(name)
    join("s", "steward")
    join("late", confirmed=False)
    name = prepare_run(coordinator_home, small_study, seed=0, steps=("discovery",))
    submit_run(coordinator_home, name)
    seen = overview(coordinator_home)
    assert seen["serving"]
    assert 395 <= seen["certificate_days"] <= 397
    assert {p["name"]: p["node"] for p in seen["parties"]} == {
        "a": "online",
        "b": "online",
        "c": "online",
        "late": "unknown",
        "s": "online",
    }
    assert seen["runs"] == [{"name": "small-1", "state": "running"}]


def test_a_stopped_coordinator_is_seen_too(coordinator_home, control, monkeypatch):
    monkeypatch.setattr(module, "is_serving", lambda home: False)
    seen = overview(coordinator_home)
    assert (seen["serving"], seen["runs"], seen["parties"]) == (False, [], [])
