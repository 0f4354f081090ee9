"""How sure is each edge: discovery repeated on resampled covariances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.errors import KnowledgeError
from fedcausal.graph import MARK_CODES, Edge, Graph, Mark
from fedcausal.moments.covariance import BlockCovariance
from fedcausal.private.noisy_totals import draw_noise, repaired
from fedcausal.schema import Schema

__all__ = ["EdgeProbabilities", "edge_probabilities", "resample"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeProbabilities:
    """Shares of resampled graphs that hold an edge.

    Attributes
    ----------
    names
        Variables (d).
    num_resamples
        Graphs behind the shares.
    directed
        (d, d): share with i -> j in the equivalence class.
    undirected
        (d, d) symmetric: share with i -- j.
    too_narrow
        Variables whose sums do not have the spread of Gaussian resampling (those with levels or
        with polynomials): it can be too narrow for their edges. Where that was measured
        (`benchmarks/discovery_parts/calibration.py`: binary and heavy-tailed rows), the shares
        were as well calibrated as those of replicates, and both were too low between .2 and .8.
        Empty for replicates, which have the rows' own spread.
    marks
        (d, d, 3): share with a tail, an arrowhead, a circle at j on i *-* j, of any edge; None
        where directed and undirected edges are all there is.
    """

    names: tuple[str, ...]
    num_resamples: int
    directed: Matrix
    undirected: Matrix
    too_narrow: tuple[str, ...] = ()
    marks: Matrix | None = None

    @property
    def adjacent(self) -> Matrix:
        """(d, d) symmetric: share in which the pair is joined at all."""
        if self.marks is not None:
            return np.asarray(self.marks.sum(axis=2))
        return self.directed + self.directed.T + self.undirected

    def probability(self, first: str, second: str) -> float:
        """Share in which the pair is joined."""
        return float(self.adjacent[self.names.index(first), self.names.index(second)])

    def annotate(self, graph: Graph) -> Graph:
        """The graph, each edge with the probability that its pair is joined; a PAG's marks too."""
        if self.num_resamples == 0:
            return graph

        def probability(edge: Edge) -> float:
            return min(self.probability(edge.source, edge.target), 1.0)

        annotated = graph.with_probabilities(probability)
        return self._with_marks(annotated) if graph.kind == "pag" else annotated

    def _with_marks(self, pag: Graph) -> Graph:
        edges = tuple(
            replace(
                edge,
                source_mark_probability=self.mark_probability(
                    edge.target, edge.source, edge.source_mark
                ),
                target_mark_probability=self.mark_probability(
                    edge.source, edge.target, edge.target_mark
                ),
            )
            for edge in pag.edges
        )
        return replace(pag, edges=edges)

    def mark_probability(self, first: str, second: str, mark: Mark) -> float | None:
        """Share in which the two are joined with this mark at the second; None if not counted."""
        if self.marks is None:
            return None
        place = (self.names.index(first), self.names.index(second), MARK_CODES[mark] - 1)
        return min(float(self.marks[place]), 1.0)


def edge_probabilities(
    statistics: BlockCovariance,
    knowledge: Knowledge,
    options: DiscoveryOptions,
    *,
    edge_prior: Matrix | None = None,
    schema: Schema | None = None,
    replicates: Sequence[BlockCovariance] | None = None,
) -> EdgeProbabilities:
    """Repeat discovery on `options.bootstrap` Wishart draws of the released covariance.

    Each repetition is one climb without restarts. With a schema, variables that are not numeric
    are named as too narrow; without one, those with several features are. With `replicates`,
    released covariances of bootstraps of the rows, these take the place of the draws; a variable
    that does not vary in a replicate is joined to nothing in it.

    Assumptions: rows are Gaussian given the site (no assumption for replicates). A share is not a
    posterior probability: an edge that the released covariance shows by chance is shown by its
    resamples as well.
    Privacy: reads released totals only; free of further disclosure.

    References
    ----------
    Friedman, Goldszmidt and Wyner (1999), Data analysis with Bayesian networks: a bootstrap
    approach, UAI.
    """
    draws = _wishart_draws(statistics, options) if replicates is None else replicates
    climb = replace(options, restarts=1 if options.algorithm == "flop" else 0)
    size = len(statistics.names)
    directed, undirected = np.zeros((size, size)), np.zeros((size, size))
    ends = np.zeros((size, size, len(MARK_CODES)))
    tail, arrow = MARK_CODES[Mark.TAIL], MARK_CODES[Mark.ARROW]
    num_draws = 0
    for drawn in draws:
        marks = _marks(drawn, statistics.names, knowledge, climb, edge_prior)
        if marks is None:
            continue
        num_draws += 1
        directed += (marks == arrow) & (tail == marks.T)
        undirected += (marks == tail) & (tail == marks.T)
        ends += marks[:, :, None] == np.array(list(MARK_CODES.values()))
    least_one = max(num_draws, 1)
    return EdgeProbabilities(
        names=statistics.names,
        num_resamples=num_draws,
        directed=directed / least_one,
        undirected=undirected / least_one,
        too_narrow=_too_narrow(statistics, schema) if replicates is None else (),
        marks=ends / least_one,
    )


def _wishart_draws(
    statistics: BlockCovariance, options: DiscoveryOptions
) -> Iterator[BlockCovariance]:
    rng = np.random.default_rng([options.seed, 1])
    return (resample(statistics, rng) for _ in range(options.bootstrap))


def _marks(
    drawn: BlockCovariance,
    names: tuple[str, ...],
    knowledge: Knowledge,
    options: DiscoveryOptions,
    edge_prior: Matrix | None,
) -> NDArray[np.int64] | None:
    """Marks of the drawn graph over `names`; None where a required edge lost an end."""
    kept = [names.index(name) for name in drawn.names if name in names]
    if drawn.names != tuple(names[i] for i in kept):
        return None
    prior = None if edge_prior is None else edge_prior[np.ix_(kept, kept)]
    try:
        found = discover(drawn, knowledge, options, prior).graph
    except KnowledgeError:
        if len(kept) == len(names):
            raise
        return None
    marks = np.zeros((len(names), len(names)), dtype=np.int64)
    marks[np.ix_(kept, kept)] = found.marks()
    return marks


def resample(statistics: BlockCovariance, rng: np.random.Generator) -> BlockCovariance:
    """Draw a covariance from the Wishart law around the released one.

    Degrees of freedom are the smallest effective pair count. Returns the same blocks and counts.
    A covariance with privacy noise gets a fresh draw of it too, which is known in law.

    References
    ----------
    Bartlett (1933), On the theory of statistical regression, Proceedings of the Royal Society of
    Edinburgh 53 (the decomposition).
    """
    freedom = statistics.records(statistics.names)
    if statistics.noise is not None:
        freedom = statistics.noise.num_records
    size = len(statistics.covariance)
    factor = np.linalg.cholesky(statistics.covariance)
    if freedom > size:
        noise = np.tril(rng.standard_normal((size, size)), -1)
        noise[np.diag_indices(size)] = np.sqrt(rng.chisquare(freedom - np.arange(size)))
    else:
        noise = rng.standard_normal((size, max(int(freedom), 1)))
        # Fewer records than features: a little of the identity keeps the draw invertible.
        noise = np.hstack([noise, 0.1 * np.eye(size)])
    root = factor @ noise
    scatter = root @ root.T
    deviation = np.sqrt(np.diagonal(scatter))
    drawn = scatter / np.outer(deviation, deviation)
    if statistics.noise is not None:
        drawn = repaired(drawn + draw_noise(statistics.noise, rng), statistics.noise.floor)
    return replace(statistics, covariance=drawn)


def _too_narrow(statistics: BlockCovariance, schema: Schema | None) -> tuple[str, ...]:
    if schema is None:
        return tuple(name for name in statistics.names if len(statistics.blocks[name]) > 1)
    return tuple(
        name
        for name in statistics.names
        if not schema[name].is_numeric or len(statistics.blocks[name]) > 1
    )
