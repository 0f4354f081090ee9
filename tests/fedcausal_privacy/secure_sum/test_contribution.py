"""A contribution: one ciphertext per statistic, and in two-steward mode one sealed seed each."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal_privacy.envelopes import Envelope
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.secure_sum import contribution
from fedcausal_privacy.secure_sum.bfv import BfvScheme
from fedcausal_privacy.secure_sum.contribution import Occasion, padded_reply
from fedcausal_privacy.secure_sum.fixed_point import join_limbs
from fedcausal_privacy.secure_sum.manifest import Manifest, Party
from fedcausal_privacy.secure_sum.masks import mask_words
from fedcausal_privacy.secure_sum.pads import open_seed
from fedcausal_privacy.statistic_spec import StatisticSpec


def occasion(pool, site="a"):
    return Occasion(
        manifest=pool.aggregator.manifest,
        site=site,
        identity=pool.identities[site],
        public_context=pool.aggregator.public_context,
        kind="query.upload",
        round=1,
    )


def test_a_padded_vector_opens_with_both_stewards_keys_alone(padded, spec, contributions):
    reply = padded_reply(occasion(padded), contributions["a"])
    private = X25519PrivateKey.from_private_bytes(padded.second_steward.pad_key)
    context = contribution._pad_context(occasion(padded), spec)
    seed = open_seed(reply.blobs["seed/gram"], private, context)
    limbs = BfvScheme().decrypt(
        padded.steward.secret_context, reply.blobs["ciphertext/gram"], length=8
    )
    words = join_limbs(limbs, 2).view(np.uint64).copy()
    assert (words.view(np.int64) != contributions["a"]["gram"][1]).all()
    mask_words(words, seed, -1)
    assert words.view(np.int64).tolist() == contributions["a"]["gram"][1].tolist()


def test_upload_and_seed_name_each_other(padded, contributions):
    reply = padded_reply(occasion(padded), contributions["a"])
    upload = Envelope.from_json(reply.header["envelopes"]["gram"]).header
    seed = Envelope.from_json(reply.header["seeds"]["gram"]).header
    assert (upload.key, seed.key) == (seed.payload_sha256, upload.payload_sha256)


@pytest.mark.parametrize("num_sites", [3, 900])
def test_the_work_of_a_padded_upload_does_not_depend_on_the_number_of_sites(
    padded, num_sites, monkeypatch
):
    """Counted, not timed: one stream and one seal per statistic, whatever the roster."""
    calls = []
    monkeypatch.setattr(contribution, "mask_words", lambda *a: calls.append("mask"))
    seal = contribution.seal_seed
    monkeypatch.setattr(contribution, "seal_seed", lambda *a: calls.append("seal") or seal(*a))
    manifest = padded.aggregator.manifest
    names = sorted(["a", *(f"s{i:03d}" for i in range(num_sites - 1))])
    identity = Identity.generate()
    roster = tuple(
        Party(name=n, identity=identity.public if n == "a" else f"{i:064x}")
        for i, n in enumerate(names)
    )
    many = Manifest(
        run_id="r",
        study_hash=manifest.study_hash,
        roster=roster,
        steward=manifest.steward,
        he_sha256=manifest.he_sha256,
        mode="two-steward",
        second_steward=manifest.second_steward,
        pad_key=manifest.pad_key,
    )
    spec = StatisticSpec(name="s", length=5, bound=9)
    own = Occasion(
        manifest=many,
        site="a",
        identity=identity,
        public_context=padded.aggregator.public_context,
        kind="query.upload",
        round=1,
    )
    padded_reply(own, {"s": (spec, np.arange(5))})
    assert calls == ["mask", "seal"]
