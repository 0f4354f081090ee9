"""Names of populations: three kinds, one spelling."""

import pytest

from fedcausal.effects.population_name import Population, named_population
from fedcausal.errors import InputError


@pytest.mark.parametrize(
    ("text", "kind", "name", "words"),
    [
        ("pooled", "pooled", "", "pooled"),
        (" site  north ", "site", "north", "site north"),
        ("target the old town", "target", "the old town", "target the old town"),
        ("site", "site", "", "site"),
    ],
)
def test_kinds_and_names(text, kind, name, words):
    found = named_population(text)
    assert found == Population(kind=kind, name=name)
    assert found.words == words
    assert named_population(found.words) == found


@pytest.mark.parametrize("text", ["", "pooled north", "everybody", "sites north", "Site north"])
def test_other_kinds_are_refused(text):
    with pytest.raises(InputError, match='expected "pooled", "site NAME" or "target NAME"'):
        named_population(text)
