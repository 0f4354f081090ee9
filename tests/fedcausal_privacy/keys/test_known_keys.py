"""Rotation: signed by the old key and followed; revocation: worth nothing from then on."""

import json

import pytest

from fedcausal_privacy.canonical import canonical_json
from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import (
    Rotation,
    current_keys,
    fingerprint_of,
    read_revoked,
    read_rotations,
    rotate,
)

OLD, NEW, NEWER, OTHER = (Identity.generate() for _ in range(4))
PINNED = {"b": OLD.public, "c": OTHER.public}
TO_NEW, TO_NEWER = rotate("b", OLD, NEW), rotate("b", NEW, NEWER)


def test_rotations_are_followed_and_old_keys_count_no_longer():
    assert current_keys(PINNED, [], frozenset()) == PINNED
    assert current_keys(PINNED, [TO_NEW], frozenset())["b"] == NEW.public
    for order in ([TO_NEW, TO_NEWER], [TO_NEWER, TO_NEW]):
        assert current_keys(PINNED, order, frozenset()) == {**PINNED, "b": NEWER.public}


def test_a_rotation_of_another_name_or_of_an_unknown_key_changes_nothing():
    assert current_keys(PINNED, [rotate("c", OLD, NEW), TO_NEWER], frozenset()) == PINNED


@pytest.mark.parametrize("stolen", [OLD, NEW, NEWER])
def test_a_revoked_key_anywhere_on_the_way_leaves_its_party_without_a_key(stolen):
    revoked = frozenset({fingerprint_of(stolen.public)})
    assert current_keys(PINNED, [TO_NEW, TO_NEWER], revoked) == {"c": OTHER.public}


def test_two_successors_of_one_key_are_an_error_and_a_circle_ends():
    with pytest.raises(InputError, match="two rotations"):
        current_keys(PINNED, [TO_NEW, rotate("b", OLD, OTHER)], frozenset())
    assert current_keys(PINNED, [TO_NEW, rotate("b", NEW, OLD)], frozenset())["b"] == NEW.public


def test_a_rotation_needs_both_signatures_over_its_own_words():
    good = TO_NEW.to_json()
    assert Rotation.from_bytes(canonical_json(good)) == TO_NEW
    for change in (
        {"name": "c"},
        {"new": OTHER.public},
        {"old": OTHER.public},
        {"signature_old": good["signature_new"]},
        {"signature_new": good["signature_old"]},
        {"signature_old": ""},
        {"name": 1},
        {"more": "x"},
    ):
        with pytest.raises(InputError):
            Rotation.from_bytes(json.dumps({**good, **change}).encode())
    for content in (b"", b"[]", b"{}"):
        with pytest.raises(InputError, match="rotation"):
            Rotation.from_bytes(content)
    with pytest.raises(InputError):
        rotate("b", OLD, OLD)


def test_both_files_are_read_and_faults_name_their_place(tmp_path):
    assert read_rotations(tmp_path) == ()
    assert read_revoked(tmp_path) == frozenset()
    (tmp_path / "rotations").mkdir()
    (tmp_path / "rotations" / "b-1.json").write_bytes(canonical_json(TO_NEW.to_json()))
    mark = fingerprint_of(OLD.public)
    (tmp_path / "revoked.txt").write_text(f"# stolen in May\n{mark}  # b\n\n")
    assert read_rotations(tmp_path) == (TO_NEW,)
    assert read_revoked(tmp_path) == {mark}
    (tmp_path / "revoked.txt").write_text("\nnobody\n")
    with pytest.raises(InputError, match=r"revoked\.txt:2: expected a fingerprint"):
        read_revoked(tmp_path)
    (tmp_path / "rotations" / "b-2.json").write_text("{}")
    with pytest.raises(InputError, match=r"b-2\.json: expected"):
        read_rotations(tmp_path)
    (tmp_path / "revoked.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="text"):
        read_revoked(tmp_path)
