"""What a discovery algorithm returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcausal.discovery.options import Algorithm
from fedcausal.graph import Graph

__all__ = ["Discovery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A graph, one of its members, and how they came about.

    Attributes
    ----------
    graph
        The equivalence class, oriented as far as data and knowledge compel: a CPDAG, or the PAG
        of an algorithm that allows latent confounders.
    dag
        Its deterministic, knowledge-respecting extension: the graph of the model. None for a
        PAG, which has no single one.
    algorithm
        Which algorithm found it.
    score
        The block BIC (with the edge prior, where one was given) of `dag`; 0 without one.
    num_scores, num_tests
        Families scored and independences tested.
    separating_sets
        Per pair that a test parted (schema order), the set that did.
    by_nonlinearity
        (parent, child) of the edges that the Markov class leaves open and nonlinearity directs.
    notes
        What a reader must know, as sentences: repairs, an early stop.
    seconds
        Wall time; not a part of the exact result.
    """

    graph: Graph
    dag: Graph | None
    algorithm: Algorithm
    score: float
    num_scores: int = 0
    num_tests: int = 0
    separating_sets: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    by_nonlinearity: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
