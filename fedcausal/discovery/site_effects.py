"""What it means when centring and standardising the sites give different graphs."""

from typing import Literal

from fedcausal.graph import Graph

__all__ = ["compare_site_effects", "differing_pairs"]

Pair = tuple[str, str]

MAX_SHOWN = 4

FITS = (
    'center fits sites that differ in means or in how noisy they are; "standardize" fits sites '
    "whose units or scales drift, and is wrong where only the noise differs"
)


def compare_site_effects(
    declared: Literal["center", "standardize"], graph: Graph, other: Graph
) -> tuple[str, ...]:
    """A warning when the graph under the declared treatment is not that under the other one.

    Both treatments are consistent where sites differ in means alone. A wrong one adds edges
    between variables that no mechanism joins, so the sparser graph is the more plausible; with
    few records the two may also differ by chance.

    Parameters
    ----------
    declared
        `discovery.site_effects` of the study.
    graph, other
        Learnt from the same records with the declared and with the other treatment.

    References
    ----------
    Raskutti and Uhler (2018), Learning directed acyclic graph models based on sparsest
    permutations, Stat 7.
    """
    pairs = differing_pairs(graph, other)
    if not pairs:
        return ()
    alternative = "standardize" if declared == "center" else "center"
    shown = ", ".join(f"{a} and {b}" for a, b in pairs[:MAX_SHOWN])
    more = ", ..." if len(pairs) > MAX_SHOWN else ""
    ours, theirs = len(graph.edges), len(other.edges)
    differ = f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'}"
    hint = ""
    if ours != theirs:
        sparser = declared if ours < theirs else alternative
        hint = f" Here {sparser} needs fewer edges, which speaks for it."
    return (
        f'Site effects: the graph with "{declared}" ({ours} edges) and the one with '
        f'"{alternative}" ({theirs} edges) differ on {differ} ({shown}{more}). '
        f"{FITS[0].upper()}{FITS[1:]}; see discovery.site_effects.{hint}",
    )


def differing_pairs(graph: Graph, other: Graph) -> tuple[Pair, ...]:
    """Pairs of common variables whose edge, or whose marks, differ between two graphs."""
    names = [name for name in graph.nodes if name in other.nodes]
    return tuple(
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if _sign(graph, a, b) != _sign(other, a, b)
    )


def _sign(graph: Graph, first: str, second: str) -> str:
    edge = graph.edge(first, second)
    if edge is None:
        return ""
    return edge.sign if edge.source == first else edge.reversed().sign
