"""Which degree each variable needs, read from the sums of the highest one."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.score import BlockScore

__all__ = ["needed_degrees", "with_needed_degrees"]


def needed_degrees(statistics: BlockCovariance, *, penalty: float = 1.0) -> dict[str, int]:
    r"""Per variable, the width of its block that explains the others best.

    For variable v and degree g the gain over the line is the largest, over all other variables c,
    of the fall in BIC of c's response when it is regressed on the first g features of v instead of
    the line; the degree with the largest gain is taken where that exceeds :math:`\log d` (one
    out of d children would by chance), else 1.

    Assumptions: marginal curvature; a bend that shows only given other variables is not seen.
    Privacy: reads released totals only, no graph and no truth.

    References
    ----------
    Schwarz (1978), Annals of Statistics 6. Chen and Chen (2008), Extended Bayesian information
    criteria, Biometrika 95.
    """
    degrees = {}
    for name in statistics.names:
        rows = statistics.blocks[name]
        straight = len(statistics.responses[name])
        gains = {
            width: _gain(statistics, name, width, penalty)
            for width in range(straight + 1, len(rows) + 1)
        }
        best = max(gains, key=lambda width: gains[width], default=straight)
        is_needed = gains.get(best, 0.0) > np.log(len(statistics.names))
        degrees[name] = best if is_needed else straight
    return degrees


def with_needed_degrees(
    statistics: BlockCovariance, names: Collection[str], *, penalty: float = 1.0
) -> BlockCovariance:
    """Keep the polynomials of the named variables if any of them bends, else their lines.

    The named variables stand together: dropping the polynomials of the straight ones only was
    measured to cost accuracy, for what bends given others may be straight alone, and skewed
    variables tell lines from bends by their own polynomials. A note names those that bend.
    """
    chosen = [name for name in statistics.names if name in names and _bends(statistics, name)]
    if not chosen:
        return statistics
    found = needed_degrees(statistics, penalty=penalty)
    curved = [f"{n} (degree {found[n]})" for n in chosen if found[n] > 1]
    if curved:
        told = f"the sums show curvature in {', '.join(curved)}; polynomials are kept"
        return replace(statistics, notes=(*statistics.notes, f'basis "auto": {told}'))
    widths = {
        name: len(statistics.responses[name] if name in chosen else statistics.blocks[name])
        for name in statistics.names
    }
    note = 'basis "auto": the sums show no curvature; numbers are taken as linear'
    return replace(_narrowed(statistics, widths), notes=(*statistics.notes, note))


def _gain(statistics: BlockCovariance, name: str, width: int, penalty: float) -> float:
    """The largest gain in any other variable's score, net of the penalty."""
    alone = {n: len(statistics.blocks[n]) for n in statistics.names} | {name: width}
    score = BlockScore.of_responses(_narrowed(statistics, alone), penalty=penalty)
    parent = score.names.index(name)
    others = (child for child in range(len(score.names)) if child != parent)
    return max((score.line_and_bend(child, parent, ())[1] for child in others), default=0.0)


def _bends(statistics: BlockCovariance, name: str) -> bool:
    return statistics.blocks[name] != statistics.responses[name]


def _narrowed(statistics: BlockCovariance, widths: dict[str, int]) -> BlockCovariance:
    """The first features of every block."""
    kept = {name: statistics.blocks[name][: widths[name]] for name in statistics.names}
    rows = [row for name in statistics.names for row in kept[name]]
    place = {row: k for k, row in enumerate(rows)}
    return replace(
        statistics,
        covariance=statistics.covariance[np.ix_(rows, rows)],
        blocks={name: tuple(place[r] for r in found) for name, found in kept.items()},
        responses={
            name: tuple(place[r] for r in statistics.responses[name]) for name in statistics.names
        },
    )
