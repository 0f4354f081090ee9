"""No coalition that the protocol withstands sees anything of one site's vector.

Every view becomes samples of [0, 1) that are uniform under the null hypothesis "this view says
nothing about the honest site's vector": 10^6 residues over all views, chi-square and KS tests,
family-wise level 1e-9 (Bonferroni over all tests). Masks come from fixed keys, so what
depends on them is the same in every run; ciphertexts are fresh. The mutants show that the same
tests notice when a defence is missing.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import comb, factorial

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.secure_sum import aggregator, contribution
from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.masks import MaskContext, add_mask, mask_words, pair_key
from fedcausal_privacy.statistic_spec import StatisticSpec
from tests.attacks.uniformity import (
    TWO_32,
    coefficients,
    encrypt_without_noise,
    joined,
    p_values,
    uniform_limbs,
)

NUM_SITES, HONEST = 5, 0
LENGTH = 14 * 4096
_CONTEXT = MaskContext(
    run_id="attacks", round=1, attempt=1, statistic="ab" * 32, roster_hash="cd" * 32
)


def keys():
    return [
        X25519PrivateKey.from_private_bytes(hashlib.sha256(b"attack" + bytes([i])).digest())
        for i in range(NUM_SITES)
    ]


def masked_then_split(words, position):
    """The protocol: the masks are added in Z_2^64, the limbs are those of the masked words."""
    public = [key.public_key().public_bytes_raw() for key in keys()]
    peers = {other: key for other, key in enumerate(public) if other != position}
    hidden = add_mask(
        words, position=position, private=keys()[position], peers=peers, context=_CONTEXT
    )
    return split_limbs(hidden)


def split_then_masked(words, position):
    """Mutant: the limbs are those of the plain words, and each limb gets a mask of its own.

    Limb sums then are the sums of plain limbs: the low one counts carries, the high one signs.
    """
    limbs = split_limbs(words)
    for other in range(NUM_SITES):
        if other != position:
            mask = np.zeros(limbs.size, dtype=np.uint64)
            mask_words(mask, _shared_key(position, other), 1)
            mask >>= np.uint64(22)  # 42 bits, like the plaintext modulus
            limbs = limbs + mask if position < other else limbs - mask
    return limbs & np.uint64(2**42 - 1)


def masked_towards_colluders(words, position):
    """Mutant: no mask between the honest site and the last one."""
    hidden = words.copy()
    for other in range(NUM_SITES - 1):
        if other != position:
            mask_words(hidden, _shared_key(position, other), 1 if position < other else -1)
    return split_limbs(hidden)


def not_masked(words, position):
    """Mutant: the limbs of the plain words."""
    return split_limbs(words)


def _shared_key(one, other):
    peer = keys()[other].public_key().public_bytes_raw()
    return pair_key(keys()[one], peer, _CONTEXT, (one, other))


def encrypt(public, limbs):
    return BfvScheme().encrypt(public, limbs)


@dataclass(frozen=True)
class Views:
    """Five sites' uploads of given vectors (num_sites, length), and who sees what of them."""

    vectors: np.ndarray
    hide: Callable = masked_then_split
    encrypt: Callable = encrypt

    @cached_property
    def limbs(self):
        """What each site encrypts; who holds the steward's key reads it."""
        return [self.hide(to_words(v, 2), i) for i, v in enumerate(self.vectors)]

    def aggregator(self) -> Mapping[str, np.ndarray]:
        """The honest site's ciphertext."""
        public, _ = BfvScheme().generate_keys()
        return {"coefficients": coefficients(public, self.encrypt(public, self.limbs[HONEST]))}

    def aggregator_and_site(self) -> Mapping[str, np.ndarray]:
        """The ciphertext less the limbs of the mask that the honest site shares with site 1."""
        public, _ = BfvScheme().generate_keys()
        shared = np.zeros(self.vectors.shape[1], dtype=np.uint64)
        mask_words(shared, _shared_key(1, HONEST), 1)
        known = encrypt(public, np.uint64(2**42) - split_limbs(shared))
        seen = self.encrypt(public, self.limbs[HONEST])
        if self.encrypt is encrypt:
            length = self.limbs[HONEST].size
            seen = BfvScheme().add(public, [seen, known], length=length)
        return {"coefficients": coefficients(public, seen)}

    def steward(self) -> Mapping[str, np.ndarray]:
        """The sums of the limbs of all sites, given the total."""
        return carry_ranks(sum(self.limbs) % 2**42, self.vectors.sum(axis=0), NUM_SITES)

    def steward_and_site(self) -> Mapping[str, np.ndarray]:
        """The same over the other sites, because site 1 knows what it sent."""
        others = [limbs for i, limbs in enumerate(self.limbs) if i != 1]
        words = joined(sum(others) % 2**42)
        return carry_ranks(sum(others) % 2**42, words.view(np.int64), NUM_SITES - 1)

    def aggregator_and_steward(self) -> Mapping[str, np.ndarray]:
        """The honest site's limbs, decrypted."""
        return uniform_limbs(self.limbs[HONEST])

    def all_but_two_sites(self) -> Mapping[str, np.ndarray]:
        """Aggregator, steward and the sites 1 to K - 2: all masks but one are taken off."""
        words = joined(self.limbs[HONEST])
        for other in range(1, NUM_SITES - 1):
            mask_words(words, _shared_key(other, HONEST), -1)
        return uniform_limbs(split_limbs(words))


def carry_ranks(sums, totals, num_summands):
    """The carries of both limbs as uniform numbers, given that the words are uniform.

    The sum of K uniform limbs is c 2^32 + r. Given r the carry c has the probabilities
    f(c + r / 2^32), f the density of a sum of K uniform numbers of [0, 1) (Irwin and Hall). The
    distribution function at c, less a uniform part of its last step, is uniform on [0, 1).
    """
    rng = np.random.default_rng(0)
    low, high = np.split(sums, 2)
    assert (joined(sums).view(np.int64) == totals).all()
    samples = {}
    for name, limb in (("low carry", low), ("high carry", high)):
        carry, rest = limb >> np.uint64(32), (limb & np.uint64(2**32 - 1)) / TWO_32
        steps = np.array([irwin_hall(k + rest, num_summands) for k in range(num_summands)])
        reached = np.cumsum(steps, axis=0)
        chosen = np.minimum(carry, num_summands - 1).astype(np.int64), np.arange(carry.size)
        ranks = reached[chosen] - rng.random(carry.size) * steps[chosen]
        samples[name] = np.clip(ranks, 0, np.nextafter(1, 0))
    return samples


def irwin_hall(x, count):
    terms = (
        (-1) ** k * comb(count, k) * np.clip(x - k, 0, None) ** (count - 1)
        for k in range(count + 1)
    )
    return sum(terms) / factorial(count - 1)


VIEWS = {
    "aggregator": Views.aggregator,
    "steward": Views.steward,
    "aggregator and steward": Views.aggregator_and_steward,
    "aggregator and one site": Views.aggregator_and_site,
    "steward and one site": Views.steward_and_site,
    "aggregator, steward and all sites but two": Views.all_but_two_sites,
}
# 24 tests in all: the level of each.
LEVEL = 1e-9 / 24


@pytest.fixture(scope="module")
def vectors():
    """The honest site holds what leaks most: negative numbers, and large ones."""
    held = np.zeros((NUM_SITES, LENGTH), dtype=np.int64)
    held[HONEST, : LENGTH // 2] = -1
    held[HONEST, LENGTH // 2 :] = 2**40
    held[2] = 5
    return held


@pytest.fixture(scope="module")
def protocol(vectors):
    return Views(vectors)


def smallest_p(views, name):
    return min(p_values(VIEWS[name](views)).values())


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_one_honest_site_is_uniform(protocol, name):
    assert smallest_p(protocol, name) > LEVEL


def test_the_views_are_a_million_residues_in_as_many_tests_as_the_level_says(protocol):
    samples = [sample for view in VIEWS.values() for sample in view(protocol).values()]
    assert sum(sample.size for sample in samples) >= 10**6
    assert LEVEL * 2 * len(samples) == pytest.approx(1e-9)


@pytest.mark.parametrize("name", ["steward", "steward and one site"])
def test_mutant_masks_after_the_split_let_the_steward_count_carries(vectors, name):
    # The total is right and each upload looks uniform; only the limb sums tell.
    mutant = Views(vectors, hide=split_then_masked)
    assert smallest_p(mutant, name) < LEVEL


@pytest.mark.parametrize("name", ["steward", "steward and one site", "aggregator and steward"])
def test_mutant_without_masks_is_seen_by_who_can_decrypt(vectors, name):
    assert smallest_p(Views(vectors, hide=not_masked), name) < LEVEL


def test_mutant_without_one_mask_is_seen_by_all_sites_but_two(vectors):
    mutant = Views(vectors, hide=masked_towards_colluders)
    assert smallest_p(mutant, "aggregator and steward") > LEVEL
    assert smallest_p(mutant, "aggregator, steward and all sites but two") < LEVEL


@pytest.mark.parametrize("name", ["aggregator", "aggregator and one site"])
def test_either_lock_alone_keeps_the_aggregator_out_and_none_does_not(vectors, name):
    assert smallest_p(Views(vectors, hide=not_masked), name) > LEVEL
    mutant = Views(vectors, hide=not_masked, encrypt=encrypt_without_noise)
    assert smallest_p(mutant, name) < LEVEL


def decrypted_upload():
    """What aggregator and steward together read from one real upload of zeros."""
    spec = StatisticSpec(name="zeros", length=4 * NUM_SLOTS, bound=0)
    zeros = {"zeros": (spec, np.zeros(spec.length, dtype=np.int64))}
    pool = SecureSum.open("abc")
    _, posts = aggregator.ask(pool.aggregator, specs=[spec])
    _, reply = pool.deliver(posts[0], dict.fromkeys("abc", zeros))
    secret, sent = pool.steward.secret_context, reply.blobs["ciphertext/zeros"]
    return uniform_limbs(BfvScheme().decrypt(secret, sent, length=2 * spec.length))


def test_an_upload_of_the_whole_protocol_is_uniform_and_shows_a_missing_mask(monkeypatch):
    assert min(p_values(decrypted_upload()).values()) > LEVEL
    monkeypatch.setattr(contribution, "add_mask", lambda words, **_: words)
    assert min(p_values(decrypted_upload()).values()) < LEVEL
