import numpy as np
import pytest

from fedcausal_clients.policy.drawn_noise import forget_draws, note_draw, noted, times_drawn
from fedcausal_clients.state_store import StateStore


@pytest.fixture
def store(tmp_path):
    return StateStore.open(tmp_path / "state")


def test_draws_are_counted_by_round_and_statistic(store):
    assert times_drawn(store, "run1", 2) == {}
    for round_number in (2, 2, 3):
        note_draw(store, "run1", round_number, "noisy_gram-1")
    assert times_drawn(store, "run1", 2) == {"noisy_gram-1": 2}
    assert times_drawn(store, "run1", 3) == {"noisy_gram-1": 1}
    assert times_drawn(store, "run2", 2) == {}


def test_the_first_draw_is_on_disk_before_it_is_made(store):
    seen = []

    def source(scales):
        seen.append(times_drawn(store, "run1", 1))
        return np.zeros(len(scales), dtype=np.int64)

    draw = noted(store, "run1", 1, "scale-1", source)
    assert times_drawn(store, "run1", 1) == {}
    draw(np.ones(3))
    draw(np.ones(2))
    assert seen == [{"scale-1": 1}] * 2


def test_a_closed_run_is_forgotten(store):
    note_draw(store, "run1", 1, "scale-1")
    forget_draws(store, "run1")
    forget_draws(store, "run1")
    assert times_drawn(store, "run1", 1) == {}
