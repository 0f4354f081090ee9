"""What releases cost: events composed by privacy loss distributions into epsilon at delta."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from fedcausal_privacy.dp.events import Event, GaussianRelease, NoPrivacy, PoissonSampledGaussian
from fedcausal_privacy.errors import InputError, UnsupportedEventError

__all__ = ["epsilon_of", "noise_multiplier_for"]

_SEARCH_TOLERANCE = 1e-3
_STRIDE = 0.8
# Grids of the privacy loss: to begin a search, for epsilon of 1 and more, and below.
_GRIDS = (1e-2, 1e-3, 1e-4)
# One step of the smallest multiplier already costs an epsilon in the hundreds.
_SMALLEST_MULTIPLIER = 2.0**-4
_LARGEST_MULTIPLIER = 2.0**20

# Events of equal cost composed together: (sample rate, noise multiplier) -> number of steps.
_Composition = tuple[tuple[float, float, int], ...]


def epsilon_of(events: Iterable[Event], delta: float) -> float:
    """Epsilon of all the events together, at `delta`, for adding or removing one record.

    The privacy loss distributions are discretised pessimistically, so the result is never below
    the true epsilon. A `NoPrivacy` event has no epsilon and adds nothing: whoever prints the
    result must also print which releases it does not cover. No event at all costs 0.

    Raises
    ------
    UnsupportedEventError
        For an event of another kind.
    InputError
        For a `delta` outside (0, 1).

    References
    ----------
    Koskela et al. (2020), arXiv:1906.03049; Doroshenko et al. (2022), arXiv:2207.04380.
    """
    _check_delta(delta)
    steps: Counter[tuple[float, float]] = Counter()
    for event in events:
        for key, count in _costs(event).items():
            steps[key] += count
    return _epsilon(tuple(sorted((q, s, count) for (q, s), count in steps.items())), delta)


def noise_multiplier_for(
    epsilon: float, delta: float, sample_rate: float = 1.0, steps: int = 1
) -> float:
    """Smallest noise multiplier (to 0.1 %) whose `steps` steps cost at most `epsilon` at `delta`.

    With the defaults it is the multiplier of one Gaussian release. The search is over the same
    accountant as `epsilon_of`, from the safe side: the result never costs more than `epsilon`.

    >>> round(noise_multiplier_for(1.0, 1e-5), 2)
    3.73
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise InputError(f"epsilon: expected a positive number, got {epsilon!r}")
    _check_delta(delta)
    if not 0 < sample_rate <= 1 or steps < 1:
        raise InputError(
            "expected 0 < sample_rate <= 1 and steps >= 1, "
            f"got sample_rate = {sample_rate!r}, steps = {steps!r}"
        )
    return _search(float(epsilon), float(delta), float(sample_rate), int(steps))


@lru_cache(maxsize=256)
def _search(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    def fits(multiplier: float) -> bool:
        return _epsilon(((sample_rate, multiplier, steps),), delta) <= epsilon

    def surely_fits(multiplier: float) -> bool:
        composition = ((sample_rate, multiplier, steps),)
        return _epsilon_on_grid(composition, delta, _GRIDS[0]) <= epsilon

    high = _smallest_power(surely_fits)
    low = high * _STRIDE
    while high > _SMALLEST_MULTIPLIER and fits(low):
        low, high = low * _STRIDE, low
    while high - low > _SEARCH_TOLERANCE * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _smallest_power(fits: Callable[[float], bool]) -> float:
    """The smallest power of 1 / `_STRIDE` that fits."""
    multiplier = 1.0
    while not fits(multiplier):
        multiplier /= _STRIDE
        if multiplier > _LARGEST_MULTIPLIER:
            raise InputError(
                "no noise reaches the asked epsilon and delta; raise epsilon or take fewer steps"
            )
    while multiplier > _SMALLEST_MULTIPLIER and fits(multiplier * _STRIDE):
        multiplier *= _STRIDE
    return multiplier


def _epsilon(composition: _Composition, delta: float) -> float:
    """Epsilon on the grid that is fine enough for it: large losses need no finer one."""
    epsilon = _epsilon_on_grid(composition, delta, _GRIDS[1])
    return epsilon if epsilon >= 1.0 else _epsilon_on_grid(composition, delta, _GRIDS[2])


@lru_cache(maxsize=1024)
def _epsilon_on_grid(composition: _Composition, delta: float, interval: float) -> float:
    if not composition:
        return 0.0
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    accountant: Any = PLDAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval=interval,
    )
    for sample_rate, multiplier, steps in composition:
        event: Any = dp_accounting.GaussianDpEvent(multiplier)
        if sample_rate < 1.0:
            event = dp_accounting.PoissonSampledDpEvent(sample_rate, event)
        accountant.compose(event, steps)
    return float(accountant.get_epsilon(delta))


def _costs(event: Event) -> dict[tuple[float, float], int]:
    match event:
        case GaussianRelease():
            return {(1.0, float(event.noise_multiplier)): 1}
        case PoissonSampledGaussian():
            return {(float(event.sample_rate), float(event.noise_multiplier)): event.steps}
        case NoPrivacy():
            return {}
        case _:
            raise UnsupportedEventError(
                f"the accountant cannot cost {type(event).__name__}; an unknown event is an error"
            )


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise InputError(f"delta: expected a number in (0, 1), got {delta!r}; write delta = 1e-5")
