"""Who is missing from a run's totals, and how the sums were hidden, in plain words."""

from collections.abc import Mapping
from typing import Any

__all__ = ["HIDING", "LIMITS_OF_MODES", "dropout_sentences", "hiding_sentence", "missing_sites"]

HIDING = {
    "masked": (
        "masked: pairwise masks between the sites, under the encryption of one key steward; a "
        "site that drops out voids the attempt"
    ),
    "two-steward": (
        "two-steward: one-time pads under the encryption of one key steward, which only a second "
        "steward can take off; sites that drop out void nothing"
    ),
}
LIMITS_OF_MODES = {
    "masked": (
        "The aggregator and the key steward together, by faking a dropout, could obtain two "
        "overlapping totals; the claim against that pair assumes that they do not."
    ),
    "two-steward": (
        "The two stewards together could read every site's sums; they must be two organisations."
    ),
}


def hiding_sentence(card: Mapping[str, Any]) -> str:
    """How a run's sums were hidden."""
    return HIDING[card.get("mode", "masked")]


def missing_sites(card: Mapping[str, Any]) -> dict[str, str]:
    """Sites that were invited and are not in the totals, with the message they left unanswered."""
    return {
        lost["site"]: lost["kind"] for lost in card.get("dropouts", ()) if not lost["came_back"]
    }


def dropout_sentences(card: Mapping[str, Any]) -> list[str]:
    """One sentence for every site that dropped out, and whether it came back."""
    missing = missing_sites(card)
    sentences = [
        f"{site} dropped out (no answer to {kind}); its rows are in no total"
        for site, kind in missing.items()
    ]
    back = {lost["site"] for lost in card.get("dropouts", ()) if lost["came_back"]}
    sentences += [f"{site} dropped out, came back and is in every total" for site in sorted(back)]
    return sentences
