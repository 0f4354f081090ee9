"""How sure is each edge: discovery repeated on resampled covariances."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcausal.covariance import BlockCovariance
from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.graph import MARK_CODES, Edge, Graph, Mark
from fedcausal.noisy_totals import draw_noise, repaired
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
        Variables for which Gaussian resampling has the wrong spread (those with levels or with
        polynomials): it is mostly too narrow, so read the probabilities of their edges as upper
        bounds on certainty.
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
) -> EdgeProbabilities:
    """Repeat discovery on `options.bootstrap` Wishart draws of the released covariance.

    Each repetition is one climb without restarts. With a schema, variables that are not numeric
    are named as too narrow; without one, those with several features are.

    Assumptions: rows are Gaussian given the site. A share is not a posterior probability: an edge
    that the released covariance shows by chance is shown by its resamples as well.
    Privacy: reads released totals only; free of further disclosure.

    References
    ----------
    Friedman, Goldszmidt and Wyner (1999), Data analysis with Bayesian networks: a bootstrap
    approach, UAI.
    """
    rng = np.random.default_rng([options.seed, 1])
    climb = replace(options, restarts=1 if options.algorithm == "flop" else 0)
    size = len(statistics.names)
    directed, undirected = np.zeros((size, size)), np.zeros((size, size))
    ends = np.zeros((size, size, len(MARK_CODES)))
    tail, arrow = MARK_CODES[Mark.TAIL], MARK_CODES[Mark.ARROW]
    for _ in range(options.bootstrap):
        marks = discover(resample(statistics, rng), knowledge, climb, edge_prior).graph.marks()
        directed += (marks == arrow) & (tail == marks.T)
        undirected += (marks == tail) & (tail == marks.T)
        ends += marks[:, :, None] == np.array(list(MARK_CODES.values()))
    least_one = max(options.bootstrap, 1)
    return EdgeProbabilities(
        names=statistics.names,
        num_resamples=options.bootstrap,
        directed=directed / least_one,
        undirected=undirected / least_one,
        too_narrow=_too_narrow(statistics, schema),
        marks=ends / least_one,
    )


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
