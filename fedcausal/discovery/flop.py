"""FLOP on moment-matched surrogate rows: its cost does not depend on the number of records."""

from time import monotonic

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.equivalence import cpdag_of, extension
from fedcausal.errors import InputError
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.scores.score import RIDGE, BlockScore

__all__ = ["flop", "surrogate_rows"]


NOT_SEEDED = (
    "flop draws its own random numbers: another run of a large study may find another graph; "
    "order-search gives the same graph every time"
)


def flop(
    statistics: BlockCovariance, knowledge: Knowledge, options: DiscoveryOptions
) -> Discovery:
    r"""Run `flopsearch.flop` on rows that have exactly the released covariance.

    With m surrogate rows instead of n records the same graph comes from the penalty
    :math:`\lambda' = \lambda (\log n / n) (m / \log m)`; no row is a record.

    Parameters
    ----------
    statistics
        Covariances with one feature per variable.
    knowledge
        Must be empty: FLOP knows no tiers, required or forbidden edges.
    options
        Uses `penalty` and `restarts`. The seed is not used: the library takes none, and its
        result can change from run to run; nor is the time limit.

    Raises
    ------
    InputError
        When a variable has levels, or there is background knowledge.

    References
    ----------
    Wienöbst, Leopold and Henckel (2025), arXiv:2510.04970.
    """
    wide = [name for name in statistics.names if len(statistics.blocks[name]) > 1]
    if wide or not knowledge.is_empty:
        reason = f"{wide} have several features" if wide else "there is background knowledge"
        raise InputError(
            f'discovery.algorithm: "flop" needs numeric variables and no knowledge, but {reason}; '
            f'write algorithm = "order-search"'
        )
    import flopsearch

    started = monotonic()
    names = tuple(sorted(statistics.names))
    rows = surrogate_rows(statistics, names)
    size, records = len(rows), statistics.records(names)
    penalty = options.penalty * np.log(records) / records * size / np.log(size)
    # The library's own `timeout` can run without end on small graphs: it is given restarts only.
    marks = flopsearch.flop(rows, float(penalty), restarts=options.restarts)
    found = Graph.cpdag(
        statistics.names,
        [(names[i], names[j]) for i, j in np.argwhere(marks == 1).tolist()],
        [(names[i], names[j]) for i, j in np.argwhere(marks == 2).tolist() if i < j],
    )
    dag = extension(found)
    return Discovery(
        graph=cpdag_of(dag),
        dag=dag,
        algorithm="flop",
        score=BlockScore.from_covariance(statistics, penalty=options.penalty).total(dag),
        notes=(NOT_SEEDED,),
        seconds=monotonic() - started,
    )


def surrogate_rows(
    statistics: BlockCovariance, names: tuple[str, ...] | None = None
) -> NDArray[np.float64]:
    """Rows (4 d, d) with mean zero and exactly the covariance of the statistics.

    Columns follow `names`. Privacy: a function of the released covariance alone.
    """
    names = statistics.names if names is None else names
    columns = [statistics.blocks[name][0] for name in names]
    covariance = statistics.covariance[np.ix_(columns, columns)] + RIDGE * np.eye(len(names))
    num_rows = 4 * len(names)
    draws = np.random.default_rng(0).standard_normal((num_rows, len(names)))
    directions, _ = np.linalg.qr(draws - draws.mean(axis=0))
    rows: NDArray[np.float64] = np.sqrt(num_rows) * directions @ np.linalg.cholesky(covariance).T
    return rows
