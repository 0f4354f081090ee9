"""A round of own sums: who is set aside, why, and that the rest add up exactly."""

import json

import numpy as np
import pytest

from fedcausal.errors import DataError, ProtocolError
from fedcausal.robust.screen import Screen, SetAside
from tests.fedcausal.robust.conftest import REQUESTS


def test_honest_sites_add_up_exactly(study, specs, sent):
    vectors = sent()
    screen, totals, kept = Screen(most=2).take(study, REQUESTS, specs, vectors)
    assert (screen.set_aside, kept) == ((), tuple(sorted(vectors)))
    for spec in specs:
        expected = sum(own[spec.name] for own in vectors.values())
        np.testing.assert_array_equal(totals[spec.name].totals, expected)
        assert not totals[spec.name].withheld.any()


def test_liars_are_named_with_the_reason_and_are_in_no_total(study, specs, sent):
    vectors = sent(liars=1)
    vectors["s5"] = {name: -own for name, own in vectors["s5"].items()}
    screen, totals, kept = Screen(most=2).take(study, REQUESTS, specs, vectors)
    assert {(one.site, one.why) for one in screen.set_aside} == {("s5", "bounds"), ("s0", "apart")}
    assert kept == tuple(sorted(set(vectors) - {"s0", "s5"}))
    spec = specs[0]
    expected = sum(vectors[site][spec.name] for site in kept)
    np.testing.assert_array_equal(totals[spec.name].totals, expected)


def test_who_was_set_aside_stays_so_and_counts(study, specs, sent):
    gone = SetAside(site="s9", kind="gram", why="apart", words="w")
    vectors = {site: own for site, own in sent(liars=2).items() if site != "s9"}
    screen, _, _ = Screen(most=2, set_aside=(gone,)).take(study, REQUESTS, specs, vectors)
    assert len(screen.set_aside) == 2
    assert screen.names[0] == "s9"


def test_more_liars_than_allowed_stop_the_study(study, specs, sent):
    vectors = {
        site: {name: -own[name] for name in own} if site < "s3" else own
        for site, own in sent().items()
    }
    with pytest.raises(DataError, match=r"3 sites were set aside \(s0, s1, s2.*allows 2"):
        Screen(most=2).take(study, REQUESTS, specs, vectors)
    broken = {site: {n: -v for n, v in own.items()} for site, own in sent().items()}
    with pytest.raises(DataError):
        Screen(most=10).take(study, REQUESTS, specs, broken)


def test_a_site_that_claims_many_records_weighs_little(study, specs, sent):
    vectors = {site: dict(own) for site, own in sent().items()}
    largest = max(own[specs[0].name][0] for own in vectors.values())
    vectors["s0"] = {name: 15 * own for name, own in vectors["s0"].items()}
    for spec in specs:
        vectors["s0"][spec.name][list(spec.presence)] = 1
    assert 5000 > vectors["s0"][specs[0].name][0] > 4 * largest
    _, totals, _ = Screen(most=0).take(study, REQUESTS, specs, vectors)
    records = totals[specs[0].name].totals[0]
    assert records < 13 * largest
    assert totals[specs[0].name].totals[list(specs[0].presence)].max() == 10


def test_a_screen_is_read_back_as_it_was():
    one = SetAside(site="a", kind="gram", why="bounds", words="w")
    screen = Screen(most=3, set_aside=(one,))
    assert Screen.from_json(json.loads(json.dumps(screen.to_json()))) == screen
    for broken in ({}, {"most": 1, "set_aside": [{"site": "a"}]}, {"most": None, "set_aside": []}):
        with pytest.raises(ProtocolError):
            Screen.from_json(broken)
