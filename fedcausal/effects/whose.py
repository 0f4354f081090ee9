"""Whose mechanisms an answer rests on: shared by all sites, an average of them, or one site's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedcausal.effects.effect import SAME_MECHANISMS, EffectEstimate
from fedcausal.graph import Graph

__all__ = ["Heads", "told_whose", "varying_warnings"]

Varying = Mapping[str, Sequence[str]]
"""Variable -> what of its mechanism differs between the sites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Mechanisms that one site fitted to its own rows; nothing of them ever left it."""

    site: str
    nodes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Whose they are, in words."""
        names = ", ".join(self.nodes)
        verb = "mechanisms" if len(self.nodes) > 1 else "mechanism"
        return (
            f"The {verb} of {names} {'are' if len(self.nodes) > 1 else 'is'} {self.site}'s own; "
            "all others are shared by the sites."
        )


def told_whose(
    estimate: EffectEstimate, graph: Graph, varying: Varying, heads: Heads | None = None
) -> EffectEstimate:
    """The estimate with a word on every mechanism behind it that sites do not share.

    One that the sites' sums found to differ makes the answer an average over sites, unless the
    model has the site's own in its place.
    """
    concerned = _behind(graph, estimate.treatment, estimate.outcome)
    own = concerned.intersection(heads.nodes if heads else ())
    averaged = [name for name in graph.nodes if name in concerned - own and name in varying]
    warnings = varying_warnings(averaged, varying)
    sentence = estimate.sentence
    if heads is not None and own:
        mine = Heads(site=heads.site, nodes=tuple(n for n in heads.nodes if n in own))
        sentence = f"{sentence} {mine.sentence}"
    changed = bool(averaged or own)
    kept: Iterable[str] = (
        text for text in estimate.assumptions if not (changed and text == SAME_MECHANISMS)
    )
    return replace(
        estimate,
        warnings=(*estimate.warnings, *warnings),
        assumptions=tuple(kept),
        sentence=sentence,
    )


def varying_warnings(names: Iterable[str], varying: Varying) -> tuple[str, ...]:
    """A word on each of these mechanisms that the sites' sums found to differ."""
    return tuple(
        f"the mechanism of {name} differs between the sites ({', '.join(varying[name])}): the "
        "answer is an average over them, and a site's own may be another"
        for name in names
        if name in varying
    )


def _behind(graph: Graph, treatment: str, outcome: str) -> set[str]:
    """The outcome and what lies above it, without the treatment, which is set."""
    above = {name for name in graph.nodes if outcome in graph.descendants(name)}
    return {outcome, *above} - {treatment}
