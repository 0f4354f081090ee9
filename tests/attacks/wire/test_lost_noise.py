"""A site killed between any two durable steps: no noise is drawn that no entry pays for."""

import numpy as np
import pytest

from fedcausal.statistics.scale_kind import scale_request
from fedcausal.study import Study
from fedcausal_clients import site_node
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.dp.integer_noise import discrete_gaussian
from fedcausal_privacy.dp.ledger import Ledger

STUDY = Study.model_validate(
    {
        "variables": {
            "age": {"kind": "continuous", "bounds": [0, 120]},
            "sex": {"kind": "binary", "categories": ["f", "m"]},
        },
        "privacy": {"graph": {"epsilon": 8.0}},
        "discovery": {"votes": False},
    }
)
REQUEST = scale_request()
MOST_STEPS = 12


class Killed(BaseException):
    """The process is gone."""


class Clock:
    """Counts durable steps and kills before or after the one that it is set to."""

    def __init__(self):
        self.left, self.side = None, "before"

    def guard(self, step):
        def guarded(*arguments, **options):
            self._tick("before")
            found = step(*arguments, **options)
            self._tick("after")
            return found

        return guarded

    def _tick(self, side):
        if self.left is None or side != self.side:
            return
        self.left -= 1
        if self.left == 0:
            self.left = None
            raise Killed


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for owner, name in (
        (StateStore, "write"),
        (Ledger, "charge_all"),
        (AuditLog, "append"),
    ):
        monkeypatch.setattr(owner, name, clock.guard(getattr(owner, name)))
    return clock


@pytest.fixture
def drawn(monkeypatch):
    """Every vector of noise that was drawn."""
    seen = []

    def source(scales):
        seen.append(discrete_gaussian(scales))
        return seen[-1]

    monkeypatch.setattr(site_node, "discrete_gaussian", source)
    return seen


@pytest.fixture
def started(new_coordinator, hospitals):
    tables = {site: table[["age", "sex"]] for site, table in hospitals.items()}
    coordinator = new_coordinator(study=STUDY, tables=tables)
    return coordinator.open()


def paid(coordinator):
    return [e for e in coordinator.ledger() if e.release.endswith(REQUEST.id())]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", range(1, MOST_STEPS + 1))
def test_a_kill_between_any_two_durable_steps(started, clock, drawn, side, step):
    """Kill at the n-th step, twice; each time the coordinator asks the same again."""
    message = started.upload_message([REQUEST])
    for _ in range(2):
        clock.left, clock.side = step, side
        try:
            started.say("north", message)
        except Killed:
            assert len(drawn) <= len(paid(started))
        clock.left = None
    reply = started.say("north", message)
    assert len(drawn) <= len(paid(started))
    assert reply == started.say("north", message)
    if "refusal" in reply.header:
        assert reply.header["refusal"] == "budget-exceeded"
    assert len(paid(started)) <= 3


def test_a_vector_at_rest_is_sent_again_and_not_drawn_again(started, clock, drawn):
    """Killed at the last write: the noise is in the state, and the retry costs nothing."""
    message = started.upload_message([REQUEST])
    writes = []
    original = StateStore.write
    StateStore.write = lambda self, name, content: (
        writes.append(name),
        original(self, name, content),
    )[1]
    try:
        clock.left, clock.side = None, "after"
        reply = started.say("north", message)
    finally:
        StateStore.write = original
    assert "refusal" not in reply.header
    own = [name for name in writes if name.startswith(("noise-", "run-"))]
    assert own == ["noise-run1", "run-run1", "run-run1"]
    assert len(drawn) == len(paid(started)) == 1


def test_lost_noise_is_charged_again(started, drawn, monkeypatch):
    """The undefended figure beside: by the release's name alone the second draw was free."""
    message = started.upload_message([REQUEST])

    def kill(*_arguments, **_options):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(site_node, "save_run", kill)
        with pytest.raises(Killed):
            started.say("north", message)
    started.say("north", message)
    entries = paid(started)
    assert len(drawn) == len(entries) == 2
    assert not np.array_equal(*drawn)
    assert [e.release.partition("/")[0] for e in entries] == ["1", "1~1"]
    assert entries[1].description == "scale; noise lost in a crash, drawn again"


def test_what_fails_before_noise_is_drawn_costs_nothing_more(started, drawn, monkeypatch):
    message = started.upload_message([REQUEST])
    from fedcausal.statistics.scale_kind import ScaleKind

    with monkeypatch.context() as patched:
        patched.setattr(ScaleKind, "compute_private", lambda *a, **k: 1 / 0)
        assert started.say("north", message).header["refusal"] == "site-error"
    assert "refusal" not in started.say("north", message).header
    assert len(drawn) == len(paid(started)) == 1
