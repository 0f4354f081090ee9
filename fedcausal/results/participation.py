"""Who is missing from a run's totals, and how the sums were hidden, in plain words."""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "HIDING",
    "LIMITS_OF_MODES",
    "dropout_sentences",
    "hiding_sentence",
    "limit_sentence",
    "missing_sites",
    "set_aside_sentences",
    "site_sentences",
]

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


OPEN = (
    "not hidden: each site's sums were released by themselves, signed and exact, so that they "
    "could be compared; up to {most} sites may have lied"
)


def hiding_sentence(card: Mapping[str, Any]) -> str:
    """How a run's sums were hidden."""
    if card.get("robust"):
        return OPEN.format(most=card["robust"])
    return HIDING[card.get("mode", "masked")]


def missing_sites(card: Mapping[str, Any]) -> dict[str, str]:
    """Sites that were invited and are not in the totals, with the message they left unanswered."""
    return {
        lost["site"]: lost["kind"] for lost in card.get("dropouts", ()) if not lost["came_back"]
    }


LIMIT_OF_ROBUST = (
    "Sites that lie together within what sampling and honest differences explain are not seen; "
    "the coordinator read every site's exact sums."
)


def limit_sentence(card: Mapping[str, Any]) -> str:
    """Against whom a run's protection does not hold."""
    return LIMIT_OF_ROBUST if card.get("robust") else LIMITS_OF_MODES[card.get("mode", "masked")]


def site_sentences(card: Mapping[str, Any]) -> list[str]:
    """What a reader must know of the sites: who was set aside, who dropped out."""
    return [*set_aside_sentences(card), *dropout_sentences(card)]


def set_aside_sentences(card: Mapping[str, Any]) -> list[str]:
    """One sentence for every site whose sums were found wrong, and why."""
    reasons = {"bounds": "broke a public bound", "apart": "does not agree with the others"}
    return [
        f"{one['site']} was set aside: it {reasons[one['why']]} ({one['kind']}: {one['words']}); "
        "its rows are in no total from there on"
        for one in card.get("set_aside", ())
    ]


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
