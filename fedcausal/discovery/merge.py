"""One graph from the pooled score and the sites' votes."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery
from fedcausal.discovery.votes import Votes
from fedcausal.graph import Graph
from fedcausal.moments.covariance import BlockCovariance

__all__ = ["Disagreement", "MergedDiscovery", "merge", "vote_prior"]

Matrix = NDArray[np.float64]

# Odds of about 7 to 1: a site sees few rows, so its silence about an edge is weak evidence, and
# bootstraps of one site are not independent voters.
ADJACENCY_LIMIT = 2.0
DIRECTION_LIMIT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A pair on which the pooled graph and most of the sites' ballots differ.

    `pooled` and `merged` are an `Edge.sign` or `none`, read from `first` to `second`;
    `adjacent` is the share of ballots that join the pair, `forward` and `backward` the shares that
    direct it.
    """

    first: str
    second: str
    pooled: str
    merged: str
    adjacent: float
    forward: float
    backward: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergedDiscovery:
    """The merged graph, the graph without votes, and where the two sources differ."""

    merged: Discovery
    pooled: Discovery
    votes: Votes
    disagreements: tuple[Disagreement, ...]

    @property
    def graph(self) -> Graph:
        """The merged equivalence class."""
        return self.merged.graph

    @property
    def dag(self) -> Graph | None:
        """Its knowledge-respecting extension: the graph of the model; None for a PAG."""
        return self.merged.dag


def merge(
    statistics: BlockCovariance, votes: Votes, knowledge: Knowledge, options: DiscoveryOptions
) -> MergedDiscovery:
    r"""Maximise the pooled block BIC plus the weighted log-odds of the sites' votes.

    .. math::
        \max_G \sum_j s(j \mid \mathrm{pa}_G(j))
            + w \sum_{i \to j \in G} (A_{ij} + D_{ij})

    over acyclic graphs that honour the knowledge, with A and D of `vote_prior` and w the
    `vote_weight`. The search is `order-search`, whatever algorithm found the pooled graph; with
    w = 0 the votes are only compared with the pooled graph, which stands.

    Parameters
    ----------
    statistics
        Released block covariances.
    votes
        Released ballots over at least these variables.
    knowledge, options
        As for `discover`.

    Returns
    -------
    MergedDiscovery
        Its `graph` is the class of the best DAG; disagreements are in schema order.

    Privacy: reads released totals only.
    """
    pooled = merged = discover(statistics, knowledge, options)
    if options.vote_weight > 0.0:
        searching = replace(options, algorithm="order-search")
        prior = options.vote_weight * vote_prior(votes, statistics.names)
        merged = discover(statistics, knowledge, searching, prior)
    return MergedDiscovery(
        merged=merged,
        pooled=pooled,
        votes=votes,
        disagreements=_disagreements(pooled.graph, merged.graph, votes),
    )


def vote_prior(votes: Votes, names: tuple[str, ...]) -> Matrix:
    r"""Log-odds of the votes on each edge, (d, d) [parent, child] in the order of `names`.

    With T ballots, a_ij of them joining i and j and f_ij of them saying i -> j:

    .. math::
        A_{ij} = \mathrm{clip}\Big(\log\frac{a_{ij} + 1/2}{T - a_{ij} + 1/2}, \pm 2\Big),\quad
        D_{ij} = \mathrm{clip}\Big(\tfrac12\log\frac{f_{ij} + 1/2}{f_{ji} + 1/2}, \pm 1\Big)

    and the entry is A + D. D tilts the choice between classes; within a class it cannot orient an
    edge that the class leaves open.
    """
    chosen = [votes.names.index(name) for name in names]
    adjacent = votes.adjacency()[np.ix_(chosen, chosen)]
    forward = votes.direction()[np.ix_(chosen, chosen)]
    odds = np.log((adjacent + 0.5) / (votes.num_ballots - adjacent + 0.5))
    tilt = 0.5 * np.log((forward + 0.5) / (forward.T + 0.5))
    prior: Matrix = np.clip(odds, -ADJACENCY_LIMIT, ADJACENCY_LIMIT) + np.clip(
        tilt, -DIRECTION_LIMIT, DIRECTION_LIMIT
    )
    np.fill_diagonal(prior, 0.0)
    return prior


def _disagreements(pooled: Graph, merged: Graph, votes: Votes) -> tuple[Disagreement, ...]:
    found = []
    for i, first in enumerate(pooled.nodes):
        for second in pooled.nodes[i + 1 :]:
            shares = votes.shares(first, second)
            sign = _sign(pooled, first, second)
            joined = 1.0 - shares["none"]
            against = {"->": shares["backward"], "<-": shares["forward"]}.get(sign, 0.0)
            if (joined > 0.5) != (sign != "none") or against > 0.5:
                found.append(
                    Disagreement(
                        first=first,
                        second=second,
                        pooled=sign,
                        merged=_sign(merged, first, second),
                        adjacent=joined,
                        forward=shares["forward"],
                        backward=shares["backward"],
                    )
                )
    return tuple(found)


def _sign(graph: Graph, first: str, second: str) -> str:
    edge = graph.edge(first, second)
    if edge is None:
        return "none"
    return edge.sign if edge.source == first else edge.reversed().sign
