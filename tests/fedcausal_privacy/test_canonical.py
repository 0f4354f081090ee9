"""Canonical bytes: equal values have equal hashes, whatever their order."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcausal_privacy.canonical import canonical_json, fingerprint, json_hash, sha256_hex

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES.filter(lambda v: v not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES.filter(lambda v: "\\ud" not in json.dumps(v)))
def test_canonical_bytes_are_json_and_a_fixpoint(value):
    content = canonical_json(value)
    assert json.loads(content) == value
    assert canonical_json(json.loads(content)) == content


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value):
    backwards = dict(reversed(value.items()))
    assert json_hash(value) == json_hash(backwards) == sha256_hex(canonical_json(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json([value])


def test_a_known_hash():
    assert sha256_hex(b"abc").startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
    assert fingerprint(sha256_hex(b"abc")).startswith("ba78-16bf-8f01-cfea-")
