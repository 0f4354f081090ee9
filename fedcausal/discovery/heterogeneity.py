"""Do mechanisms differ between sites: Cochran's Q and I^2 from sums over sites."""

import math
from dataclasses import dataclass

from scipy.special import chdtrc

from fedcausal.errors import StudyError
from fedcausal_privacy.canonical import JsonValue

__all__ = [
    "EQUATIONS",
    "FEWEST_SITES",
    "Heterogeneity",
    "check_enough_sites",
    "cochran",
    "colluders",
    "differing",
    "varying",
]

EQUATIONS = 3
"""Released sums per quantity: of w, w b and w b^2, with b a site's estimate and w its weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """One quantity of the graph's linear mechanisms, compared over sites.

    Attributes
    ----------
    child, parent
        The mechanism, and the feature whose slope it is; `parent` is empty for the residual
        variance (its logarithm is compared).
    num_sites
        Sites whose rows gave an estimate.
    estimate
        Inverse-variance mean of the sites' estimates, in standard deviations.
    q, i_squared, p_value
        Cochran's Q; the share of the variation between estimates that is not sampling noise; the
        probability of a larger Q if all sites were alike.
    level
        Of a child with levels: the one whose probability is compared.
    """

    child: str
    parent: str
    num_sites: int
    estimate: float
    q: float
    i_squared: float
    p_value: float
    level: str = ""

    @property
    def label(self) -> str:
        """The quantity in words."""
        if not self.parent:
            return f"the residual variance of {self.child}"
        level = f" = {self.level}" if self.level else ""
        return f"the slope of {self.parent} -> {self.child}{level}"

    def to_json(self) -> dict[str, JsonValue]:
        """The comparison as a JSON object."""
        return {
            "child": self.child,
            "level": self.level or None,
            "parent": self.parent or None,
            "sites": self.num_sites,
            "estimate": self.estimate,
            "q": self.q,
            "i_squared": self.i_squared,
            "p_value": self.p_value,
        }


def cochran(
    child: str, parent: str, num_sites: int, weights: float, first: float, second: float
) -> Heterogeneity:
    r"""Cochran's test from the sums of w, w b and w b^2.

    .. math:: Q = \sum w b^2 - (\sum w b)^2 / \sum w \sim \chi^2_{K-1}, \quad I^2 = 1 - (K-1)/Q

    Assumptions: sites' estimates are nearly normal with known variances 1/w (sites of few rows
    make Q somewhat too large).

    References
    ----------
    Cochran (1954), The combination of estimates from different experiments, Biometrics 10.
    Higgins and Thompson (2002), Quantifying heterogeneity in a meta-analysis, Statistics in
    Medicine 21.

    Examples
    --------
    >>> same = cochran("y", "x", 10, weights=50.0, first=100.0, second=200.0)
    >>> same.estimate, same.q, same.i_squared, same.p_value
    (2.0, 0.0, 0.0, 1.0)
    """
    freedom = num_sites - 1
    q = max(second - first * first / weights, 0.0)
    return Heterogeneity(
        child=child,
        parent=parent,
        num_sites=num_sites,
        estimate=first / weights,
        q=q,
        i_squared=1.0 - freedom / q if q > freedom else 0.0,
        p_value=float(chdtrc(freedom, q)),
    )


def differing(
    compared: tuple[Heterogeneity, ...], *, alpha: float = 0.01
) -> tuple[Heterogeneity, ...]:
    """Those that differ between sites at level alpha over all that were compared (Bonferroni)."""
    return tuple(h for h in compared if h.p_value < alpha / len(compared))


def varying(
    compared: tuple[Heterogeneity, ...], *, alpha: float = 0.01
) -> dict[str, tuple[str, ...]]:
    """The variables whose mechanism differs between sites, with what of it does."""
    found: dict[str, tuple[str, ...]] = {}
    for h in differing(compared, alpha=alpha):
        found[h.child] = (*found.get(h.child, ()), h.label)
    return found


def colluders(num_sites: int) -> int:
    """Sites that may pool what they know: a quarter of all, one at least.

    >>> colluders(3), colluders(10)
    (1, 3)
    """
    return max(1, math.ceil(num_sites / 4))


def _is_enough(num_sites: int) -> bool:
    return num_sites - 1 - colluders(num_sites) >= 2 + EQUATIONS


FEWEST_SITES = next(number for number in range(2, 100) if _is_enough(number))
"""Fewest sites whose sums nobody can solve for one site's estimate."""


def check_enough_sites(num_sites: int) -> None:
    """Refuse sums of so few sites that colluding ones could solve them for another's estimate.

    Raises
    ------
    StudyError
        K - 1 - c < 2 + the released sums per quantity, with c = `colluders`.
    """
    if not _is_enough(num_sites):
        raise StudyError(
            f"discovery.heterogeneity: expected {FEWEST_SITES} sites or more, got {num_sites}: "
            f"{colluders(num_sites)} of them together could solve the {EQUATIONS} sums per edge "
            "for another site's slope; let more sites join, or write heterogeneity = false"
        )
