"""Masks: they cancel, they are uniform, and an independent derivation gives the same words."""

import hashlib
import hmac
import json
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import split_limbs
from fedcausal_privacy.secure_sum.mask_graph import neighbours
from fedcausal_privacy.secure_sum.masks import MaskContext, add_mask, mask_words, pair_key

CONTEXT = MaskContext(run_id="run", round=1, attempt=1, statistic="ab" * 32, roster_hash="cd" * 32)

# Written by the derivation below from HMAC and AES blocks: pinned so that releases interoperate.
KNOWN_ANSWER = (
    "e41cbdad42555676480482ce681d6ab6168535ef76503e3acd0425b1a85abb94",
    ["32c83da332022d18", "5e2248af23861eca"],
)


def fixed_keys(num_sites):
    return [
        X25519PrivateKey.from_private_bytes(hashlib.sha256(bytes([i])).digest())
        for i in range(num_sites)
    ]


def publics(keys):
    return [key.public_key().public_bytes_raw() for key in keys]


def masked(words, keys, context=CONTEXT):
    return [
        add_mask(w, position=i, private=keys[i], peers=others(keys, i), context=context)
        for i, w in enumerate(words)
    ]


def others(keys, position):
    return {j: public for j, public in enumerate(publics(keys)) if j != position}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    num_sites=st.integers(2, 8),
    length=st.sampled_from([1, 7, 4096, 4097]),
    dtype=st.sampled_from([np.uint32, np.uint64]),
    seed=st.integers(0, 99),
)
def test_masks_cancel_in_the_full_sum(num_sites, length, dtype, seed):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, np.iinfo(dtype).max, (num_sites, length), dtype=dtype, endpoint=True)
    hidden = masked(list(words), fixed_keys(num_sites))
    assert (np.sum(hidden, axis=0, dtype=dtype) == np.sum(words, axis=0, dtype=dtype)).all()
    assert all(h.dtype == dtype for h in hidden)


def test_masks_of_a_sparse_graph_cancel_too():
    num_sites = 70
    keys, graph = fixed_keys(num_sites), "ab" * 32
    words = np.arange(num_sites * 3, dtype=np.uint64).reshape(num_sites, 3)
    public = publics(keys)
    hidden = [
        add_mask(
            w,
            position=i,
            private=keys[i],
            peers={j: public[j] for j in neighbours(i, num_sites, graph)},
            context=CONTEXT,
        )
        for i, w in enumerate(words)
    ]
    assert (np.sum(hidden, axis=0, dtype=np.uint64) == words.sum(axis=0)).all()


@pytest.mark.parametrize("peers", [{}, {0: b"x" * 32}])
def test_a_site_masks_with_others(peers):
    with pytest.raises(ProtocolError, match="neighbours other than itself"):
        add_mask(
            np.zeros(1, dtype=np.uint64),
            position=0,
            private=fixed_keys(1)[0],
            peers=peers,
            context=CONTEXT,
        )


def test_the_input_stays_as_it_was():
    words = np.zeros(10, dtype=np.uint64)
    masked([words] * 3, fixed_keys(3))
    assert not words.any()


def independent_key(shared, context, pair):
    salt = hashlib.sha256(
        json.dumps(
            [
                context.run_id,
                context.round,
                context.attempt,
                context.statistic,
                context.roster_hash,
            ],
            separators=(",", ":"),
        ).encode()
    ).digest()
    info = b"fedcausal/mask/v1" + min(pair).to_bytes(4, "big") + max(pair).to_bytes(4, "big")
    extracted = hmac.digest(salt, shared, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def independent_words(key, count):
    blocks = b"".join(i.to_bytes(16, "big") for i in range((count + 1) // 2))
    encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305
    return np.frombuffer(encryptor.update(blocks), dtype="<u8")[:count]


@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (3, 700)])
def test_a_mask_equals_its_derivation_from_the_primitives(pair):
    a, b = fixed_keys(2)
    shared = a.exchange(b.public_key())
    key = pair_key(a, b.public_key().public_bytes_raw(), CONTEXT, pair)
    assert key == independent_key(shared, CONTEXT, pair)
    assert key == pair_key(b, a.public_key().public_bytes_raw(), CONTEXT, pair[::-1])
    words = np.zeros(9001, dtype=np.uint64)
    mask_words(words, key, 1)
    assert (words == independent_words(key, 9001)).all()
    mask_words(words, key, -1)
    assert not words.any()


def test_known_answer():
    a, b = fixed_keys(2)
    key = pair_key(a, b.public_key().public_bytes_raw(), CONTEXT, (0, 1))
    words = np.zeros(2, dtype=np.uint64)
    mask_words(words, key, 1)
    assert (key.hex(), [f"{int(w):016x}" for w in words]) == KNOWN_ANSWER


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "other"},
        {"round": 2},
        {"attempt": 2},
        {"statistic": "00" * 32},
        {"roster_hash": "00" * 32},
    ],
)
def test_every_part_of_the_context_changes_the_key(change):
    a, b = fixed_keys(2)
    peer = b.public_key().public_bytes_raw()
    other = replace(CONTEXT, **change)
    assert pair_key(a, peer, CONTEXT, (0, 1)) != pair_key(a, peer, other, (0, 1))
    assert pair_key(a, peer, CONTEXT, (0, 1)) != pair_key(a, peer, CONTEXT, (0, 2))


@pytest.mark.parametrize("peer", [bytes(32), b"short", b""])
def test_unusable_peer_keys_are_refused(peer):
    with pytest.raises(ProtocolError, match="X25519"):
        pair_key(fixed_keys(1)[0], peer, CONTEXT, (0, 1))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("value", [0, 123456789])
def test_one_upload_decrypted_by_aggregator_and_steward_is_uniform(dtype, value):
    # Null hypothesis: the residues' bytes are uniform. Fixed keys; level 0.001 for each byte.
    keys = fixed_keys(3)
    words = masked([np.full(20_000, value, dtype=dtype)] * 3, keys)
    scheme = BfvScheme()
    public, secret = scheme.generate_keys()
    limbs = split_limbs(words[1])
    seen = scheme.decrypt(secret, scheme.encrypt(public, limbs), length=limbs.size)
    for shift in (0, 8, 16, 24):
        counts = np.bincount((seen >> np.uint64(shift)) & np.uint64(255), minlength=256)
        expected = seen.size / 256
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert chi2.sf(statistic, 255) > 0.001
        assert counts.size == 256


def test_a_sum_with_one_site_missing_is_uniform():
    keys = fixed_keys(4)
    hidden = masked([np.full(30_000, 7, dtype=np.uint64)] * 4, keys)
    partial = np.sum(hidden[1:], axis=0, dtype=np.uint64)
    counts = np.bincount((partial >> np.uint64(56)).astype(int), minlength=256)
    expected = partial.size / 256
    assert chi2.sf(((counts - expected) ** 2 / expected).sum(), 255) > 0.001
