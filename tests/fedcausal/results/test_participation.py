import pytest

from fedcausal.results.participation import (
    HIDING,
    LIMITS_OF_MODES,
    dropout_sentences,
    hiding_sentence,
    limit_sentence,
    missing_sites,
    site_sentences,
)

LOST = {"site": "north", "kind": "query.upload", "round": 1, "attempt": 1, "came_back": False}
BACK = {**LOST, "site": "south", "came_back": True}


def test_missing_sites_and_those_that_came_back():
    card = {"dropouts": [LOST, BACK, BACK]}
    assert missing_sites(card) == {"north": "query.upload"}
    first, second = dropout_sentences(card)
    assert first == "north dropped out (no answer to query.upload); its rows are in no total"
    assert second == "south dropped out, came back and is in every total"
    assert dropout_sentences({}) == []


@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_every_mode_has_its_words(mode):
    assert hiding_sentence({"mode": mode}) == HIDING[mode]
    assert HIDING[mode].startswith(mode)
    assert mode in LIMITS_OF_MODES


def test_a_card_without_a_mode_is_of_the_first_one():
    assert hiding_sentence({}) == HIDING["masked"]


def test_sites_set_aside_are_said_before_those_that_dropped_out():
    aside = [
        {"site": "west", "kind": "gram", "why": "bounds", "words": "a count is negative"},
        {"site": "east", "kind": "families", "why": "apart", "words": "far"},
    ]
    card = {"dropouts": [LOST], "set_aside": aside, "robust": 2, "mode": "masked"}
    first, second, third = site_sentences(card)
    assert first.startswith("west was set aside: it broke a public bound (gram: a count is neg")
    assert second.startswith("east was set aside: it does not agree with the others (families:")
    assert third.startswith("north dropped out")
    assert "up to 2 sites may have lied" in hiding_sentence(card)
    assert "not hidden" in hiding_sentence(card)
    assert "not seen" in limit_sentence(card)
    assert limit_sentence({"mode": "masked"}) == LIMITS_OF_MODES["masked"]
