import pytest

from fedcausal.participation import (
    HIDING,
    LIMITS_OF_MODES,
    dropout_sentences,
    hiding_sentence,
    missing_sites,
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
