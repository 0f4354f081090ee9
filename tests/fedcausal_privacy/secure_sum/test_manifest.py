"""The manifest: valid or non-existent, and the same after the wire."""

import json
from dataclasses import replace

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.manifest import Manifest, Party

MANIFEST = Manifest(
    run_id="run",
    study_hash="1" * 64,
    roster=tuple(Party(name=n, identity=n * 64) for n in "abc"),
    steward=Party(name="steward", identity="d" * 64),
    he_sha256="2" * 64,
)


def test_json_there_and_back():
    assert Manifest.from_json(json.loads(json.dumps(MANIFEST.to_json()))) == MANIFEST
    assert len(MANIFEST.digest()) == 64
    assert MANIFEST.sites == ("a", "b", "c")


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": ""},
        {"study_hash": "xyz"},
        {"he_sha256": "A" * 64},
        {"roster": MANIFEST.roster[:2]},
        {"roster": MANIFEST.roster[::-1]},
        {"roster": (*MANIFEST.roster, MANIFEST.roster[-1])},
        {"roster": (*MANIFEST.roster, Party(name="e", identity="c" * 64))},
        {"steward": Party(name="a", identity="d" * 64)},
        {"steward": Party(name="s", identity="a" * 64)},
        {"k_min": 2},
        {"k_min": 4},
        {"mode": "two-steward"},
        {"mode": "three-steward"},
        {"pad_key": "3" * 64},
        {"second_steward": Party(name="p", identity="e" * 64)},
        {"mode": "two-steward", "second_steward": Party(name="p", identity="e" * 64)},
        {
            "mode": "two-steward",
            "second_steward": Party(name="p", identity="d" * 64),
            "pad_key": "3" * 64,
        },
        {"secure_aggregation": False},
    ],
)
def test_an_invalid_manifest_cannot_exist(change):
    with pytest.raises(ProtocolError):
        replace(MANIFEST, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "two-steward"},
        {"mode": "plain"},
        {"mode": None},
        {"pad_key": None},
        {"second_steward": "p"},
        {"secure_aggregation": False},
        {"secure_aggregation": 1},
        {"k_min": True},
        {"k_min": "3"},
        {"roster": "abc"},
        {"roster": [["a"]]},
        {"steward": None},
        {"run_id": 7},
        {"surprise": 1},
    ],
)
def test_a_changed_manifest_is_refused(change):
    with pytest.raises(ProtocolError):
        Manifest.from_json({**MANIFEST.to_json(), **change})


def test_two_stewards_are_two_parties_with_a_key_each():
    second = Party(name="p", identity="e" * 64)
    manifest = replace(MANIFEST, mode="two-steward", second_steward=second, pad_key="3" * 64)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    assert manifest.parties == (*MANIFEST.roster, MANIFEST.steward, second)
    assert manifest.digest() != MANIFEST.digest()


def test_the_version_of_a_sites_data_is_in_the_digest():
    other = replace(MANIFEST.roster[0], data_version="2")
    changed = replace(MANIFEST, roster=(other, *MANIFEST.roster[1:]))
    assert changed.digest() != MANIFEST.digest()
    assert changed.party("a") == other
    with pytest.raises(ProtocolError):
        changed.party("z")


@pytest.mark.parametrize("value", [None, [], "manifest", {}])
def test_something_else_is_refused(value):
    with pytest.raises(ProtocolError):
        Manifest.from_json(value)


@pytest.mark.parametrize(("name", "identity"), [("", "a" * 64), ("a", "a" * 63), ("a", "")])
def test_a_party_has_a_name_and_a_key(name, identity):
    with pytest.raises(ProtocolError):
        Party(name=name, identity=identity)
