"""The accountant against dp-accounting's own PLD accountant on a finer grid.

python benchmarks/privacy_parts/accountant.py [--quick]

20 compositions: releases of a Gram with its scales, runs of DP-SGD, and both together, delta from
1e-7 to 1e-4. The reference discretises the privacy loss in steps of 1e-4 (1e-5 below epsilon 1),
ten times finer than ours, and is itself never below the truth.
"""

import argparse
import sys
import time
from typing import Any

import dp_accounting
import numpy as np
from dp_accounting.pld import PLDAccountant

from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import Event, GaussianRelease, PoissonSampledGaussian

SEED, COUNT, REACH = 7200, 20, 1.01


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="5 compositions")
    table(parser.parse_args().quick)


def table(quick: bool) -> None:
    """Both epsilons, the ratio, and CPU seconds of both."""
    count = 5 if quick else COUNT
    rng = np.random.default_rng(SEED)
    _say(f"accountant: {count} compositions, seed {SEED}; reach: 1 <= ours / PLD <= {REACH}")
    _say(f"{'delta':>8}{'releases':>10}{'steps':>7} |{'PLD':>9}{'ours':>9}{'ratio':>9} |CPU ours")
    ratios = []
    for k in range(count):
        events, delta = _composition(rng, k), float(10.0 ** rng.uniform(-7, -4))
        started = time.process_time()
        ours = epsilon_of(events, delta)
        cpu = time.process_time() - started
        reference = _reference(events, delta, ours)
        ratios.append(ours / reference)
        steps = sum(e.steps for e in events if isinstance(e, PoissonSampledGaussian))
        _say(
            f"{delta:>8.1e}{sum(isinstance(e, GaussianRelease) for e in events):>10}{steps:>7} |"
            f"{reference:>9.4f}{ours:>9.4f}{ours / reference:>9.5f} |{cpu:>6.2f}"
        )
    reached = min(ratios) >= 1.0 - 1e-9 and max(ratios) <= REACH
    _say(
        f"smallest ratio {min(ratios):.6f}, largest {max(ratios):.6f}: "
        f"{'reached' if reached else 'NOT reached'}"
    )


def _composition(rng: np.random.Generator, k: int) -> list[Event]:
    events: list[Event] = []
    if k % 3 != 1:
        events += [
            GaussianRelease(
                sensitivity=1.0, noise_multiplier=float(rng.uniform(0.8, 12)), name="gram"
            )
            for _ in range(int(rng.integers(1, 5)))
        ]
    if k % 3 != 0:
        events.append(
            PoissonSampledGaussian(
                sample_rate=float(rng.uniform(0.01, 0.3)),
                noise_multiplier=float(rng.uniform(0.9, 4)),
                steps=int(rng.integers(10, 500)),
            )
        )
    return events


def _reference(events: list[Event], delta: float, size: float) -> float:
    accountant: Any = PLDAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval=1e-4 if size >= 1.0 else 1e-5,
    )
    for event in events:
        match event:
            case GaussianRelease():
                accountant.compose(dp_accounting.GaussianDpEvent(event.noise_multiplier))
            case PoissonSampledGaussian():
                inner: Any = dp_accounting.GaussianDpEvent(event.noise_multiplier)
                sampled: Any = dp_accounting.PoissonSampledDpEvent(event.sample_rate, inner)
                accountant.compose(sampled, event.steps)
    return float(accountant.get_epsilon(delta))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
