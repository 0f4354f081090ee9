"""The roster: its hash binds manifest, attempt, sites and every key in its place."""

import json
from dataclasses import replace

import pytest

from fedcausal_privacy.envelopes import Envelope, ignore
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.mask_graph import degree
from fedcausal_privacy.secure_sum.roster import (
    Roster,
    check_advertisements,
    check_freezes,
    check_trusted,
    padded_roster_hash,
)

ROSTER = Roster(attempt=1, sites=("a", "b", "c"), keys=(b"1" * 32, b"2" * 32, b"3" * 32))


def test_the_hash_changes_with_everything_it_binds(agreed):
    manifest = agreed.aggregator.manifest
    hashes = {
        ROSTER.digest(manifest),
        replace(ROSTER, attempt=2).digest(manifest),
        replace(ROSTER, keys=ROSTER.keys[::-1]).digest(manifest),
        Roster(attempt=1, sites=("a", "b"), keys=ROSTER.keys[:2]).digest(manifest),
        ROSTER.digest(replace(manifest, study_hash="1" * 64)),
    }
    assert len(hashes) == 5
    entries = [("a", "c", "s"), ("b", "d", "t")]
    padded = {
        padded_roster_hash(manifest, round=r, statistic=s, entries=e)
        for r, s, e in [
            (1, "x", entries),
            (2, "x", entries),
            (1, "y", entries),
            (1, "x", entries[:1]),
            (1, "x", [("a", "c", "t"), ("b", "d", "t")]),
        ]
    }
    assert len(padded) == 5


def test_json_there_and_back():
    assert Roster.from_json(json.loads(json.dumps(ROSTER.to_json()))) == ROSTER


@pytest.mark.parametrize(
    "change",
    [
        {"sites": ["b", "a", "c"]},
        {"sites": ["a", "a", "c"]},
        {"sites": ["a", "b"]},
        {"keys": ["zz", "zz", "zz"]},
        {"attempt": "1"},
        {"attempt": None},
    ],
)
def test_other_rosters_are_refused(change):
    with pytest.raises(ProtocolError):
        Roster.from_json({**ROSTER.to_json(), **change})
    with pytest.raises(ProtocolError):
        Roster.from_json(None)


def test_everybody_is_a_peer_until_the_graph_gets_sparse(agreed):
    manifest = agreed.aggregator.manifest
    assert ROSTER.peers("b", manifest) == {0: b"1" * 32, 2: b"3" * 32}
    names = tuple(f"{i:03d}" for i in range(100))
    many = Roster(attempt=1, sites=names, keys=tuple(n.encode() for n in names))
    peers = {name: many.peers(name, manifest) for name in names}
    assert {len(p) for p in peers.values()} == {degree(100)}
    for i, name in enumerate(names):
        assert all(i in peers[names[j]] for j in peers[name])


def test_advertisements_and_freezes_of_one_run_verify_and_of_another_attempt_do_not(opening):
    state = opening.before["end", ""].aggregator
    sent = opening.messages["query.freeze", "a"].header["advertisements"]
    advertised = [Envelope.from_json(envelope) for envelope in sent]
    roster = check_advertisements(state.manifest, advertised, attempt=1, on_refusal=ignore)
    assert roster == state.roster
    check_freezes(state.manifest, state.freezes, roster=roster, on_refusal=ignore)
    for attempt, envelopes in ((2, advertised), (1, advertised[:2]), (1, advertised[::-1])):
        with pytest.raises(ProtocolError):
            check_advertisements(state.manifest, envelopes, attempt=attempt, on_refusal=ignore)
    for other in (replace(roster, attempt=2), replace(roster, keys=roster.keys[::-1])):
        with pytest.raises(ProtocolError):
            check_freezes(state.manifest, state.freezes, roster=other, on_refusal=ignore)


def test_trust_names_every_party(agreed):
    manifest = agreed.aggregator.manifest
    known = {p.name: p.identity for p in (*manifest.roster, manifest.steward)}
    check_trusted(manifest, None, ignore)
    check_trusted(manifest, known, ignore)
    for name in known:
        fewer = {k: v for k, v in known.items() if k != name}
        with pytest.raises(ProtocolError):
            check_trusted(manifest, fewer, ignore)
