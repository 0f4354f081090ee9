"""Pad seeds: fresh, and open for one key and one purpose only."""

from dataclasses import replace
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum.pads import (
    SEED_BYTES,
    PadContext,
    fresh_seed,
    open_seed,
    seal_seed,
)

CONTEXT = PadContext(
    run_id="run", manifest="m", kind="query.upload", round=1, statistic="s", site="a"
)
KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()

# Sealed once by `seal_seed` (its ephemeral key is fresh every time) and opened ever since.
KNOWN_ANSWER = (
    "296089c8eb171b913347e1814bf88220161eb24f97c17192e2fe771d4aae0b44ddd3e55ac105a91d"
    "71bbf6b857992504f257ed43c417ba8ae9963e5fb9fa3387ede6cc13cb972d0da4c88f61abb15af1"
)


def test_a_seed_there_and_back():
    seed = fresh_seed()
    assert len(seed) == SEED_BYTES
    assert open_seed(seal_seed(seed, PUBLIC, CONTEXT), KEY, CONTEXT) == seed


def test_no_two_seeds_and_no_two_seals_are_alike():
    assert all(a != b for a, b in combinations([fresh_seed() for _ in range(50)], 2))
    seals = [seal_seed(bytes(32), PUBLIC, CONTEXT) for _ in range(50)]
    assert all(a[:32] != b[:32] for a, b in combinations(seals, 2))


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "other"},
        {"manifest": "n"},
        {"kind": "train.upload"},
        {"round": 2},
        {"statistic": "t"},
        {"site": "b"},
    ],
)
def test_a_seed_opens_for_its_own_purpose_only(change):
    sealed = seal_seed(bytes(32), PUBLIC, CONTEXT)
    with pytest.raises(ProtocolError):
        open_seed(sealed, KEY, replace(CONTEXT, **change))


def test_a_seed_opens_under_its_own_key_only_and_unchanged():
    sealed = seal_seed(bytes(32), PUBLIC, CONTEXT)
    with pytest.raises(ProtocolError):
        open_seed(sealed, X25519PrivateKey.generate(), CONTEXT)
    for place in (0, 31, 32, 63, 79):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ProtocolError):
            open_seed(bytes(changed), KEY, CONTEXT)
    for other in (b"", sealed[:-1], sealed + b"0", bytes(32) + sealed[32:]):
        with pytest.raises(ProtocolError):
            open_seed(other, KEY, CONTEXT)
    with pytest.raises(ProtocolError):
        seal_seed(bytes(32), bytes(32), CONTEXT)


def test_known_answer():
    assert open_seed(bytes.fromhex(KNOWN_ANSWER), KEY, CONTEXT) == bytes(range(100, 132))
