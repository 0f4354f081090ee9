"""The complete algorithm: P(y | do(x)) as a formula of the observed law, or why there is none."""

from collections.abc import Collection
from dataclasses import dataclass

from fedcausal.effects.estimand import Conditional, Estimand, Product, Ratio, Sum
from fedcausal.effects.mixed_graph import MixedGraph, Names

__all__ = ["Hedge", "identify_law"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Why an effect has no formula: two nested sets that hidden causes hold together.

    Two models with the same observed law and different effects exist whenever `inner` (below
    which the outcome lies) and `outer` (which holds a treatment too) are each joined by
    bidirected edges and have no other descendants among them.
    """

    outer: Names
    inner: Names

    def __str__(self) -> str:
        outer, inner = ", ".join(sorted(self.outer)), ", ".join(sorted(self.inner))
        return f"hidden common causes hold {{{outer}}} together around {{{inner}}}"


def identify_law(
    graph: MixedGraph, treatments: Collection[str], outcomes: Collection[str]
) -> Estimand | Hedge:
    """The law of the outcomes under do(treatments), or the hedge that forbids it.

    The formula is a function of the treatments and the outcomes.

    Assumptions: the observed law is positive.

    References
    ----------
    Tian (2002), Studies in causal reasoning and learning, UCLA, section 5. Shpitser and Pearl
    (2006), Identification of joint interventional distributions in recursive semi-Markovian
    causal models, AAAI (completeness). Huang and Valtorta (2006), UAI.
    """
    order = graph.topological_order()
    graph = graph.induced(graph.ancestors({*treatments, *outcomes}))
    order = tuple(n for n in order if n in graph.nodes)
    rest = graph.induced(frozenset(graph.nodes) - frozenset(treatments))
    needed = rest.ancestors(outcomes)
    terms: list[Estimand] = []
    for part in rest.induced(needed).districts():
        district = next(d for d in graph.districts() if part <= d)
        found = _identify(graph, part, district, _factors(graph, district, order), order)
        if isinstance(found, Hedge):
            return found
        terms.append(found)
    return _summed(tuple(n for n in order if n in needed - set(outcomes)), Product(tuple(terms)))


def _factors(graph: MixedGraph, district: Names, order: tuple[str, ...]) -> Estimand:
    """Q[district]: the product of P(v | what matters of all before v)."""
    terms = [
        Conditional((v,), _boundary(graph, v, order[:k]))
        for k, v in enumerate(order)
        if v in district
    ]
    return terms[0] if len(terms) == 1 else Product(tuple(terms))


def _boundary(graph: MixedGraph, name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The earlier variables that matter: its district so far, and the parents of that."""
    so_far = graph.induced({*before, name})
    district = next(d for d in so_far.districts() if name in d)
    boundary = (district | so_far.parents(district)) - {name}
    return tuple(n for n in before if n in boundary)


def _identify(
    graph: MixedGraph, wanted: Names, within: Names, law: Estimand, order: tuple[str, ...]
) -> Estimand | Hedge:
    """Q[wanted] from Q[within], both districts (Tian's IDENTIFY)."""
    above = graph.induced(within).ancestors(wanted)
    law = _summed(tuple(n for n in order if n in within - above), law)
    if above == wanted:
        return law
    if above == within:
        return Hedge(outer=within, inner=wanted)
    smaller = next(d for d in graph.induced(above).districts() if wanted <= d)
    return _identify(graph, wanted, smaller, _district_law(smaller, above, law, order), order)


def _district_law(
    district: Names, among: Names, law: Estimand, order: tuple[str, ...]
) -> Estimand:
    """Q[district] from Q[among], of which it is a district (Tian's lemma 4)."""
    inside = [n for n in order if n in among]
    terms: list[Estimand] = []
    for k, name in enumerate(inside):
        if name in district:
            up_to = _summed(tuple(inside[k + 1 :]), law)
            before = _summed(tuple(inside[k:]), law) if k else None
            terms.append(up_to if before is None else Ratio(up_to, before))
    return terms[0] if len(terms) == 1 else Product(tuple(terms))


def _summed(over: tuple[str, ...], law: Estimand) -> Estimand:
    if not over:
        return law
    if isinstance(law, Sum):
        return Sum((*law.over, *over), law.of)
    return Sum(over, law)
