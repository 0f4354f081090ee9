"""How often split-conformal bounds of single records hold, and how much wider they are.

Studies with three shifted sites and skewed noise keep 30 % of every site's rows out of the fit; a
secure histogram over them, with the rule for small cells, gives the radius. It is set beside the
exact one (the order statistic of the same held-out residuals, which nobody sees in a run), in
standard deviations of the residual, and its coverage is counted on 2,000 fresh records of the
same sites. Reach: no less than what was asked for, up to three standard errors, in each study on
average. Seeds 70,000 and on.
"""

import math
import sys
import time

import numpy as np

from fedcausal.data.table import Table
from fedcausal.model.calibration import (
    Calibration,
    CalibrationKind,
    calibration_request,
    decode_calibration,
    rows_for,
)
from fedcausal.model.families import Families, families_request
from fedcausal.model.family_gram import decode_families
from fedcausal.model.gram_fit import fit_mechanisms
from fedcausal.model.mechanism import Mechanism
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.statistic_spec import Released

FIRST_SEED, SHARE, FRESH, SHIFTS = 70_000, 0.3, 2000, (-1.0, 0.0, 1.0)
LEVELS = (0.5, 0.8, 0.9, 0.95)
SIZES = ((400, 1000), (4000, 200))
"""(Rows at each site, studies)."""
NAMES = ("a", "t", "y")
EDGES = (("a", "t"), ("a", "y"), ("t", "y"))
NUMBER = {"kind": "continuous", "bounds": [-30.0, 30.0]}


def table(quick: bool) -> bool:
    """A line per size and level; False when bounds hold too rarely."""
    say(f"{'rows':>6}{'held out':>10}{'studies':>9}{'asked':>8}{'holds':>8}{'+- 1 se':>9}", "")
    say(f"{'radius / exact':>16}{'off by, sd':>12}{'CPU s':>7}  reached")
    share = 10 if quick else 1
    reached = [_lines(rows, studies // share) for rows, studies in SIZES]
    return all(reached)


def _lines(rows: int, studies: int) -> bool:
    started = time.process_time()
    found = np.array([_one(rows, FIRST_SEED + k) for k in range(studies)])
    seconds, fine = time.process_time() - started, True
    for level, (held, radius, exact, sd, inside) in zip(
        LEVELS, np.moveaxis(found, 0, -1), strict=True
    ):
        finite = np.isfinite(radius)
        covered, error = inside.mean(), inside.std(ddof=1) / math.sqrt(studies)
        holds = covered >= level - 3.0 * error
        fine &= bool(holds)
        say(
            f"{rows * len(SHIFTS):>6}{held.mean():>10.0f}{studies:>9}{level:>8.0%}{covered:>8.1%}"
            f"{error:>9.2%}{np.mean((radius / exact)[finite]):>16.3f}"
            f"{np.mean(((radius - exact) / sd)[finite]):>12.3f}{seconds:>7.0f}  "
            f"{'yes' if holds else 'NO'}"
        )
    return fine


def _one(rows: int, seed: int) -> list[tuple[float, float, float, float, float]]:
    """Per level: held-out records, radius, exact radius, residual's sd, share of fresh inside."""
    rng = np.random.default_rng(seed)
    study = Study.model_validate(
        {
            "variables": {"a": NUMBER, "t": {"kind": "binary"}, "y": NUMBER},
            "model": {"calibration": SHARE, "degree": 1, "knots": 0},
        }
    )
    sites = [_draw(study, rng, rows, shift) for shift in SHIFTS]
    families = families_request(EDGES, NAMES, {})
    grams = decode_families(study, families, _total(Families(), study, families, sites), 3)
    mechanisms = fit_mechanisms(grams)
    request = calibration_request(study, families, mechanisms)
    if request is None:
        raise RuntimeError("nothing to calibrate")
    released = _total(CalibrationKind(), study, request, sites)
    found = decode_calibration(study, request, released)["y"]
    held = np.concatenate(
        [
            _scores(mechanisms["y"], batch)
            for site in sites
            for batch in rows_for(study, request, site).batches()
        ]
    )
    fresh = [_draw(study, rng, FRESH // len(SHIFTS), shift) for shift in SHIFTS]
    scores = np.concatenate([_scores(mechanisms["y"], part) for part in fresh])
    return [_at(level, found, np.sort(held), scores) for level in LEVELS]


def _at(
    level: float, found: Calibration, held: np.ndarray, fresh: np.ndarray
) -> tuple[float, float, float, float, float]:
    place = math.ceil((len(held) + 1) * level) - 1
    exact = held[place] if place < len(held) else math.inf
    sd = float(np.sqrt(np.mean(held**2)))
    radius = found.radius(level)
    return float(len(held)), radius, float(exact), sd, float(np.mean(fresh <= radius))


def _draw(study: Study, rng: np.random.Generator, size: int, shift: float) -> Table:
    """Exponential noise, and outcomes that differ between sites by a constant."""
    a = rng.normal(size=size) + shift
    t = (rng.random(size) < 0.5) * 1.0
    y = 2 * t + a + rng.exponential(size=size) + 0.5 * shift
    return Table(study.schema(), np.column_stack([a, t, y]))


def _scores(mechanism: Mechanism, part: Table) -> np.ndarray:
    """How far records lie from the fitted mean, in its scaled units."""
    columns = {name: part.column(name) for name in NAMES}
    return np.abs(mechanism.abduct(columns["y"], columns, np.random.default_rng(0)))


def _total(
    kind: Families | CalibrationKind, study: Study, request: Request, sites: list[Table]
) -> Released:
    spec, rng = kind.spec(study, request, len(sites)), np.random.default_rng(0)
    parts = [rows_for(study, request, site) for site in sites]
    return apply_cell_rule(sum(kind.compute(study, request, p, rng) for p in parts), spec)


def say(line: str, end: str = "\n") -> None:
    """Print at once, for a pipe too."""
    sys.stdout.write(line + end)
    sys.stdout.flush()
