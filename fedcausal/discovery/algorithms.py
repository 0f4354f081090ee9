"""One door to all discovery algorithms; knowledge is checked on the way in and out."""

from collections.abc import Callable, Collection
from dataclasses import replace
from importlib import import_module
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.additive_search import additive_search
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import Algorithm, DiscoveryOptions
from fedcausal.discovery.order_search import order_search
from fedcausal.discovery.result import Discovery
from fedcausal.errors import InputError, KnowledgeError
from fedcausal.moments.covariance import BlockCovariance

__all__ = ["discover"]

Search = Callable[[BlockCovariance, Knowledge, DiscoveryOptions], Discovery]

# Their libraries cannot be stopped with a graph in hand.
WITHOUT_LIMIT: Collection[Algorithm] = ("flop", "pc", "fci", "ges")
NO_LIMIT = (
    "{} has no time limit and ran to its end; order-search and boss stop in time with the best "
    "graph so far"
)


def discover(
    statistics: BlockCovariance,
    knowledge: Knowledge,
    options: DiscoveryOptions,
    edge_prior: NDArray[np.float64] | None = None,
) -> Discovery:
    """Learn a causal graph from released block covariances.

    Parameters
    ----------
    statistics
        Block covariances of the usable variables; they are the nodes of the graph.
    knowledge
        Background knowledge about these (or more) variables.
    options
        The algorithm and its parameters.
    edge_prior
        (d, d) [parent, child] in the order of `statistics.names`, added to the score; only
        `order-search` can take it.

    Raises
    ------
    KnowledgeError
        When a required edge has lost a variable, or a result would go against the knowledge.
    InputError
        When the algorithm cannot take these statistics, knowledge, or a prior.

    Privacy: reads released totals only; free of further disclosure.
    """
    if not statistics.names:
        raise InputError("discovery: no usable variable is left; every one is constant or missing")
    known = knowledge.restrict(statistics.names)
    is_additive = not statistics.is_linear and statistics.noise is None
    if options.algorithm == "order-search" and is_additive:
        found = additive_search(statistics, known, options, edge_prior)
    elif options.algorithm == "order-search":
        found = order_search(statistics, known, options, edge_prior)
    elif edge_prior is not None:
        raise InputError(
            f'discovery.algorithm: "{options.algorithm}" cannot weigh a prior on edges; write '
            f'algorithm = "order-search"'
        )
    else:
        found = _search(options.algorithm)(statistics, known, options)
    broken = known.violations(found.graph)
    if found.dag is not None:
        broken += known.violations(found.dag)
    if broken:
        raise KnowledgeError(f"knowledge cannot be honoured by {options.algorithm}: {broken[0]}")
    if options.time_limit_seconds is not None and options.algorithm in WITHOUT_LIMIT:
        return replace(found, notes=(*found.notes, NO_LIMIT.format(options.algorithm)))
    return found


def _search(algorithm: Algorithm) -> Search:
    """The function of this name; its library is imported with it."""
    return cast(Search, getattr(import_module(f"fedcausal.discovery.{algorithm}"), algorithm))
