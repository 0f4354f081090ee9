"""A run of three sites, recorded up to the request to decrypt; the steward as steps or as node."""

import json
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import tenseal

from fedcausal_clients.home import create_identity
from fedcausal_clients.node import handle
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import ignore, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import aggregator, headers, second_steward, steward
from fedcausal_privacy.secure_sum.bfv import BfvScheme, _unframe
from fedcausal_privacy.secure_sum.in_process import SECOND_STEWARD, STEWARD, SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

SPEC = StatisticSpec(name="gram", length=4, bound=1000)
VECTORS = {
    "a": np.array([1, 1000, -7, 0]),
    "b": np.array([2, -1000, 5, 0]),
    "c": np.array([9, 30, -1, 0]),
}


@dataclass(frozen=True)
class Run:
    """Every message of one honest run up to the request to decrypt.

    By (kind, recipient): the messages, the replies, and all states before the message came.
    """

    folder: Path | None = None
    messages: dict = field(default_factory=dict)
    replies: dict = field(default_factory=dict)
    before: dict = field(default_factory=dict)

    @property
    def decrypt(self):
        return self.messages[headers.DECRYPT, STEWARD]

    @property
    def pool(self):
        """All states before the steward is asked to decrypt."""
        return self.before[headers.DECRYPT, STEWARD]

    @property
    def uploads(self):
        return [self.replies[headers.UPLOAD, name] for name in VECTORS]

    def receive(self, key, reply, on_refusal=ignore):
        """The aggregator takes the reply to a message; to change nothing is to refuse."""
        state = self.before[key].aggregator
        after, _ = aggregator.receive(state, key[1], reply, on_refusal=on_refusal)
        if after is state:
            raise ProtocolError("the reply was refused: nobody waits for it")
        return after

    def combine(self, replies, on_refusal=ignore):
        """The request to decrypt that the aggregator makes of all uploads."""
        state, posts = self.before[headers.UPLOAD, "a"].aggregator, ()
        for name, reply in zip(VECTORS, replies, strict=True):
            before = state
            state, posts = aggregator.receive(state, name, reply, on_refusal=on_refusal)
            if state is before:
                raise ProtocolError("the reply was refused: nobody waits for it")
        (post,) = posts
        return post.message

    def released(self, message, on_refusal=ignore):
        """The totals that the steward's pure step gives out."""
        return self.read(self.release(message, on_refusal), on_refusal)

    def release(self, message, on_refusal=ignore):
        identity = self.pool.identities[STEWARD]
        return steward.step(self.pool.steward, message, identity=identity, on_refusal=on_refusal)[
            1
        ]

    def read(self, reply, on_refusal=ignore):
        state = self.receive((headers.DECRYPT, STEWARD), reply, on_refusal)
        return state.totals["gram"].totals.tolist()

    def pads(self, message, on_refusal=ignore):
        """What the second steward's pure step answers."""
        state = self.before[headers.PADS, SECOND_STEWARD].second_steward
        identity = self.pool.identities[SECOND_STEWARD]
        return second_steward.step(state, message, identity=identity, on_refusal=on_refusal)[1]

    def ask_node(self, message):
        """The steward's whole node: home, audit, state on disk."""
        return handle(message, self.folder)

    def audit(self):
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def signed_by_sites(self, ciphertexts, total=b""):
        """The request to decrypt other ciphertexts, signed by the sites that made them."""
        state, uploads, blobs = self.pool.aggregator, {}, {}
        for name, ciphertext in zip(VECTORS, ciphertexts, strict=True):
            header = headers.upload_header(
                state.agreed_manifest,
                kind=headers.UPLOAD,
                round=1,
                attempt=1,
                statistic=SPEC.digest(),
                site=name,
                roster_hash=state.freezes[0].header.roster_hash,
            )
            envelope = seal(self.pool.identities[name], header, ciphertext)
            uploads[name] = {"gram": envelope.to_json()}
            blobs[headers.forwarded_blob("gram", name)] = ciphertext
        changed = {"uploads": uploads, "sums": {"gram": sha256_hex(total)}}
        return replace(self.decrypt, header={**self.decrypt.header, **changed}, blobs=blobs)

    def ciphertexts(self):
        return [self.decrypt.blobs[headers.forwarded_blob("gram", name)] for name in VECTORS]

    def signed_chunks(self):
        """The chunks of ciphertexts that a party of this run signed."""
        return {chunk for sent in self.decrypt.blobs.values() for chunk in _unframe(sent, 1)}

    def sum(self, ciphertexts):
        return BfvScheme().add(self.pool.aggregator.public_context, ciphertexts, length=8)


def recorded(mode="masked", folder=None):
    """Run the protocol until the steward is asked to decrypt; with a folder it is a node there."""
    run = Run(folder)
    pool = SecureSum.begin(tuple(VECTORS), run_id="run", mode=mode)
    pool = driven(run, pool, *aggregator.open(pool.aggregator))
    return driven_to_decrypt(run, pool)


def driven_to_decrypt(run, pool):
    driven(run, pool, *aggregator.ask(pool.aggregator, specs=[SPEC]))
    return run


def driven(run, pool, state, posts):
    pool, queue = replace(pool, aggregator=state), deque(posts)
    given = {name: {"gram": (SPEC, vector)} for name, vector in VECTORS.items()}
    while queue:
        post = queue.popleft()
        key = post.message.kind, post.recipient
        run.messages[key], run.before[key] = post.message, pool
        if post.message.kind == headers.DECRYPT:
            break
        if run.folder is not None and post.recipient == STEWARD:
            run.replies[key] = run.ask_node(post.message)
        else:
            pool, run.replies[key] = pool.deliver(post, given)
        state, more = aggregator.receive(pool.aggregator, post.recipient, run.replies[key])
        pool = replace(pool, aggregator=state)
        queue.extend(more)
    return pool


@pytest.fixture(scope="session")
def run():
    """The steward is a pure step."""
    return recorded()


@pytest.fixture(scope="session")
def padded_run():
    """Two-steward mode."""
    return recorded("two-steward")


@pytest.fixture
def node_run(tmp_path):
    """The steward is a node with a home folder, an audit log and its state on disk."""
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "steward"\nrole = "steward"\n[simulation]\nseed = 1\n'
    )
    create_identity(tmp_path)
    return recorded(folder=tmp_path)


@pytest.fixture
def decryptions(monkeypatch):
    """How often the steward's key was used."""
    used, decrypt = [], BfvScheme.decrypt
    monkeypatch.setattr(BfvScheme, "decrypt", lambda *a, **k: used.append(1) or decrypt(*a, **k))
    return used


@pytest.fixture
def library_reads(monkeypatch):
    """The ciphertexts that reached the library's deserialiser."""
    read, load = [], tenseal.bfv_vector_from
    monkeypatch.setattr(tenseal, "bfv_vector_from", lambda *a: read.append(a[1]) or load(*a))
    return read
