"""Two-steward mode: what each coalition that it withstands sees of one site's vector is uniform.

Views, tests and family-wise level as in `test_views`; the pads come from fixed seeds. Both
stewards together are not withstood, and the last tests show it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.secure_sum import aggregator, contribution, headers
from fedcausal_privacy.secure_sum.bfv import NUM_SLOTS, BfvScheme
from fedcausal_privacy.secure_sum.fixed_point import split_limbs, to_words
from fedcausal_privacy.secure_sum.in_process import SECOND_STEWARD, STEWARD, SecureSum
from fedcausal_privacy.secure_sum.masks import mask_words
from fedcausal_privacy.secure_sum.pads import PadContext, open_seed
from fedcausal_privacy.statistic_spec import StatisticSpec
from tests.attacks.uniformity import (
    TWO_64,
    coefficients,
    encrypt_without_noise,
    joined,
    p_values,
    uniform_limbs,
)

NUM_SITES, HONEST, OTHER = 5, 0, 4
LENGTH = 10 * NUM_SLOTS


def fresh_pad(words, site, round):
    """The protocol: the stream of a seed that serves one vector of one site."""
    pad = np.zeros_like(words)
    mask_words(pad, hashlib.sha256(f"pad {site} {round}".encode()).digest(), 1)
    return pad


def no_pad(words, site, round):
    """Mutant."""
    return np.zeros_like(words)


def pad_of_every_round(words, site, round):
    """Mutant: one seed for all rounds."""
    return fresh_pad(words, site, 0)


def pad_of_every_site(words, site, round):
    """Mutant: one seed for all sites."""
    return fresh_pad(words, 0, round)


def pad_from_the_values(words, site, round):
    """Mutant: what goes to the second steward depends on the vector."""
    return fresh_pad(words, site, round) & np.uint64(2**32 - 1) | words << np.uint64(32)


def encrypt(public, limbs):
    return BfvScheme().encrypt(public, limbs)


@dataclass(frozen=True)
class Views:
    """Two rounds over given vectors (num_sites, length), and who sees what of them."""

    vectors: np.ndarray
    pad: Callable = fresh_pad
    encrypt: Callable = encrypt

    @cached_property
    def pads(self):
        """By round and site: what the second steward's seeds stand for."""
        return [[self.pad(w, i, r) for i, w in enumerate(self.words)] for r in range(2)]

    @cached_property
    def words(self):
        return [to_words(vector, 2) for vector in self.vectors]

    @cached_property
    def padded(self):
        """By round and site: what the steward decrypts."""
        return [[w + p for w, p in zip(self.words, pads, strict=True)] for pads in self.pads]

    def steward(self):
        """Every upload opened, of two rounds; the sum of the pads says the total and no more."""
        first, second = (padded[HONEST] for padded in self.padded)
        return {**uniform_limbs(split_limbs(first)), "two rounds": (second - first) / TWO_64}

    def steward_and_sites(self):
        """The same less what the sites 1 to K - 2 sent and know: their pads, and the total."""
        known = range(1, NUM_SITES - 1)
        (first, _), (pads, _) = self.padded, self.pads
        left = -sum(pads) + sum(pads[site] for site in known)  # of the honest site and the other
        return {
            **uniform_limbs(split_limbs(first[HONEST])),
            "difference of two": (first[HONEST] - first[OTHER]) / TWO_64,
            "pads of two": left / TWO_64,
        }

    def second_steward(self):
        """The seeds, and nothing that was padded."""
        return uniform_limbs(split_limbs(self.pads[0][HONEST]))

    def aggregator(self):
        """The honest site's ciphertext."""
        public, _ = BfvScheme().generate_keys()
        limbs = split_limbs(self.padded[0][HONEST])
        return {"coefficients": coefficients(public, self.encrypt(public, limbs))}

    def aggregator_and_sites(self):
        """The total's ciphertext less those of the sites 1 to K - 2."""
        return self._sum_of(self.padded[0][HONEST], self.padded[0][OTHER])

    def aggregator_and_second_steward(self):
        """The ciphertext of the honest site's vector without its pad."""
        return self._sum_of(self.padded[0][HONEST], -self.pads[0][HONEST])

    def _sum_of(self, *summands):
        public, _ = BfvScheme().generate_keys()
        sent = [self.encrypt(public, split_limbs(words)) for words in summands]
        if self.encrypt is encrypt:
            total = BfvScheme().add(public, sent, length=2 * LENGTH)
        else:
            total = sum(np.frombuffer(content, dtype="<u8") for content in sent).tobytes()
        return {"coefficients": coefficients(public, total)}


VIEWS = {
    "steward": Views.steward,
    "steward and all sites but two": Views.steward_and_sites,
    "second steward": Views.second_steward,
    "aggregator": Views.aggregator,
    "aggregator and all sites but two": Views.aggregator_and_sites,
    "aggregator and second steward": Views.aggregator_and_second_steward,
    "aggregator and steward": Views.steward,  # the aggregator adds no key
}
# 38 tests in all: the level of each.
LEVEL = 1e-9 / 38


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


@pytest.mark.parametrize(
    ("pad", "name"),
    [
        (no_pad, "steward"),
        (no_pad, "steward and all sites but two"),
        (no_pad, "aggregator and steward"),
        (pad_of_every_round, "steward"),
        (pad_of_every_site, "steward and all sites but two"),
        (pad_from_the_values, "second steward"),
    ],
)
def test_mutant_pads_are_seen(vectors, pad, name):
    assert smallest_p(Views(vectors, pad=pad), name) < LEVEL


def test_mutant_pads_of_every_round_look_uniform_in_one(vectors):
    # What a test of single uploads would miss.
    samples = Views(vectors, pad=pad_of_every_round).steward()
    assert not samples.pop("two rounds").any()
    assert min(p_values(samples).values()) > LEVEL


@pytest.mark.parametrize(
    ("pad", "name"),
    [
        (no_pad, "aggregator"),
        (no_pad, "aggregator and all sites but two"),
        (fresh_pad, "aggregator and second steward"),
    ],
)
def test_without_the_encryption_the_aggregator_needs_the_pad(vectors, pad, name):
    assert smallest_p(Views(vectors, pad=pad), name) > LEVEL
    mutant = Views(vectors, pad=pad, encrypt=encrypt_without_noise)
    assert smallest_p(mutant, name) < LEVEL


SPEC = StatisticSpec(name="values", length=4 * NUM_SLOTS, bound=2**40)


@pytest.fixture(scope="module")
def pool():
    return SecureSum.open("abc", mode="two-steward")


def uploads_of_two_rounds(pool, values):
    """One site's real uploads of the same vector in two rounds."""
    given = {name: {"values": (SPEC, values)} for name in "abc"}
    replies = []
    for _ in range(2):
        _, posts = aggregator.ask(pool.aggregator, specs=[SPEC])
        replies.append(pool.deliver(posts[0], given)[1])
        pool, _ = pool.sum(given)
    return replies


def opened(pool, reply):
    secret, sent = pool.steward.secret_context, reply.blobs["ciphertext/values"]
    return joined(BfvScheme().decrypt(secret, sent, length=2 * SPEC.length))


def p_of_real_uploads(pool):
    first, second = uploads_of_two_rounds(pool, np.zeros(SPEC.length, dtype=np.int64))
    first, second = opened(pool, first), opened(pool, second)
    samples = {**uniform_limbs(split_limbs(first)), "two rounds": (second - first) / TWO_64}
    return min(p_values(samples).values())


def test_uploads_of_the_whole_protocol_are_uniform_and_show_a_missing_or_a_reused_pad(
    pool, monkeypatch
):
    assert p_of_real_uploads(pool) > LEVEL
    with monkeypatch.context() as mutant:
        mutant.setattr(contribution, "fresh_seed", lambda: bytes(32))
        assert p_of_real_uploads(pool) < LEVEL
    with monkeypatch.context() as mutant:
        mutant.setattr(contribution, "mask_words", lambda words, key, sign: None)
        mutant.setattr("fedcausal_privacy.secure_sum.second_steward.mask_words", lambda *_: None)
        assert p_of_real_uploads(pool) < LEVEL


def requests_of_a_round(pool, values):
    """What the two stewards are asked in one round, and the sites' replies."""
    given = {name: {"values": (SPEC, values)} for name in "abc"}
    state, posts = aggregator.ask(pool.aggregator, specs=[SPEC])
    replies, queue, asked = [], list(posts), {}
    pool = replace(pool, aggregator=state)
    while queue:
        post = queue.pop(0)
        asked[post.recipient] = post.message
        pool, reply = pool.deliver(post, given)
        replies += [reply] if post.message.kind == headers.UPLOAD else []
        state, more = aggregator.receive(pool.aggregator, post.recipient, reply)
        pool, queue = replace(pool, aggregator=state), queue + list(more)
    return asked, replies


def test_each_steward_is_sent_its_half_only(pool):
    asked, replies = requests_of_a_round(pool, np.ones(SPEC.length, dtype=np.int64))
    to_first, to_second = asked[STEWARD].blobs.values(), asked[SECOND_STEWARD].blobs.values()
    for reply in replies:
        ciphertext, seed = reply.blobs["ciphertext/values"], reply.blobs["seed/values"]
        assert any(ciphertext in blob for blob in to_first)
        assert not any(seed in blob for blob in to_first)
        assert any(seed in blob for blob in to_second)
        assert not any(ciphertext in blob for blob in to_second)


def test_both_stewards_together_read_every_site(pool):
    values = np.arange(SPEC.length, dtype=np.int64) - 7
    _, replies = requests_of_a_round(pool, values)
    manifest = pool.aggregator.agreed_manifest
    private = X25519PrivateKey.from_private_bytes(pool.second_steward.pad_key)
    for site, reply in zip("abc", replies, strict=True):
        context = PadContext(
            run_id=manifest.run_id,
            manifest=manifest.digest(),
            kind=headers.UPLOAD,
            round=1,
            statistic=SPEC.digest(),
            site=site,
        )
        words = opened(pool, reply)
        mask_words(words, open_seed(reply.blobs["seed/values"], private, context), -1)
        assert (words.view(np.int64) == values).all()
