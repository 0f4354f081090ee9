"""What noise a run has drawn: noise that a crash lost is charged again, never drawn for free."""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.statistic_spec import IntVector

__all__ = ["forget_draws", "note_draw", "noted", "times_drawn"]


def times_drawn(store: StateStore, run_id: str, round_number: int) -> Mapping[str, int]:
    """How often noise was drawn for each statistic of the round, as far as the disk knows.

    A statistic that is listed here and whose vector is not at rest lost its noise in a crash:
    nobody can say that nothing of it was seen, so the next draw is a release of its own.
    """
    place = f"{round_number}/"
    return {
        key.removeprefix(place): times
        for key, times in _read(store, run_id).items()
        if key.startswith(place)
    }


def note_draw(store: StateStore, run_id: str, round_number: int, statistic: str) -> None:
    """Write down, durably, that noise is about to be drawn for a statistic."""
    drawn, key = _read(store, run_id), f"{round_number}/{statistic}"
    drawn[key] = drawn.get(key, 0) + 1
    store.write(_name(run_id), json.dumps(drawn, sort_keys=True).encode())


def noted(
    store: StateStore, run_id: str, round_number: int, statistic: str, noise: IntegerNoise
) -> IntegerNoise:
    """The source of noise, which notes its first draw before it draws.

    What fails before then (a row beyond its bounds, say) drew nothing and costs nothing more.
    """
    is_noted = False

    def draw(scales: NDArray[np.float64]) -> IntVector:
        nonlocal is_noted
        if not is_noted:
            note_draw(store, run_id, round_number, statistic)
            is_noted = True
        return noise(scales)

    return draw


def forget_draws(store: StateStore, run_id: str) -> None:
    """Forget a run that is closed."""
    store.delete(_name(run_id))


def _read(store: StateStore, run_id: str) -> dict[str, int]:
    content = store.read(_name(run_id))
    drawn: dict[str, int] = {} if content is None else json.loads(content)
    return drawn


def _name(run_id: str) -> str:
    return f"noise-{run_id}"
