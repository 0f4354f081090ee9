"""A run of three sites, recorded up to the request to decrypt; the steward as steps or as node."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fedcausal_clients.home import create_identity
from fedcausal_clients.node import handle
from fedcausal_privacy.bfv import BfvScheme, _unframe
from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import ignore, seal
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers, site, steward
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

SPEC = StatisticSpec(name="gram", length=4, bound=1000)
VECTORS = {
    "a": np.array([1, 1000, -7, 0]),
    "b": np.array([2, -1000, 5, 0]),
    "c": np.array([9, 30, -1, 0]),
}


@dataclass(frozen=True)
class Run:
    """Every message of one honest run up to the request to decrypt."""

    pool: SecureSum
    advertise: Message
    advertised: tuple[Message, ...]
    replies: tuple[Message, ...]
    decrypt: Message
    folder: Path | None = None

    def combine(self, replies, on_refusal=ignore):
        return aggregator.combine(
            self.pool.aggregator, round=1, specs=[SPEC], replies=replies, on_refusal=on_refusal
        )

    def released(self, message, on_refusal=ignore):
        """The totals that the steward's pure step gives out."""
        _, reply = steward.step(
            self.pool.steward,
            message,
            identity=self.pool.steward_identity,
            on_refusal=on_refusal,
        )
        return self.read(reply)

    def read(self, reply, on_refusal=ignore):
        totals = aggregator.released(
            self.pool.aggregator, round=1, specs=[SPEC], reply=reply, on_refusal=on_refusal
        )
        return totals["gram"].totals.tolist()

    def ask_node(self, message):
        """The steward's whole node: home, audit, state on disk."""
        message = replace(message, header={**message.header, "run_id": "run"})
        return handle(message, self.folder)

    def audit(self):
        lines = (self.folder / "audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def signed_by_sites(self, ciphertexts, total=b""):
        """The request to decrypt other ciphertexts, signed by the sites that made them."""
        state, uploads, blobs = self.pool.aggregator, [], {}
        for position, (name, ciphertext) in enumerate(zip(VECTORS, ciphertexts, strict=True)):
            header = headers.upload_header(
                state.manifest,
                kind="query.upload",
                round=1,
                attempt=1,
                statistic=SPEC.digest(),
                site=name,
                roster_hash=state.freezes[0].header.roster_hash,
            )
            uploads.append(seal(self.pool.identities[name], header, ciphertext).to_json())
            blobs[headers.forwarded_blob("gram", position)] = ciphertext
        changed = {"uploads": {"gram": uploads}, "sums": {"gram": sha256_hex(total)}}
        return replace(self.decrypt, header={**self.decrypt.header, **changed}, blobs=blobs)

    def ciphertexts(self):
        return [self.decrypt.blobs[headers.forwarded_blob("gram", i)] for i in range(3)]

    def signed_chunks(self):
        return {chunk for sent in self.ciphertexts() for chunk in _unframe(sent, 1)}

    def sum(self, ciphertexts):
        return BfvScheme().add(self.pool.aggregator.public_context, ciphertexts, length=8)


def recorded(greet_steward, folder=None):
    pool = SecureSum.open(tuple(VECTORS), run_id="other")
    pool = replace(
        pool,
        sites={name: site.begin(name=name, study_hash="0" * 64) for name in VECTORS},
        steward=steward.begin(name="steward"),
        aggregator=aggregator.begin(run_id="run", study_hash="0" * 64),
    )
    greeting = aggregator.hello(pool.aggregator)
    pool, introduction = greet_steward(pool, greeting)
    pool, hellos = pool.ask(greeting)
    state, advertise = aggregator.advertise(pool.aggregator, sites=hellos, steward=introduction)
    pool, replies = replace(pool, aggregator=state).ask(advertise)
    advertised = tuple(replies)
    state, freeze = aggregator.freeze(state, replies)
    pool, replies = pool.ask(freeze)
    state = aggregator.confirm(state, replies)
    request = aggregator.upload(state, round=1, specs=[SPEC])
    given = {name: {"gram": (SPEC, vector)} for name, vector in VECTORS.items()}
    pool, uploads = replace(pool, aggregator=state).ask(request, given)
    decrypt = aggregator.combine(state, round=1, specs=[SPEC], replies=uploads)
    return Run(pool, advertise, advertised, tuple(uploads), decrypt, folder)


@pytest.fixture(scope="session")
def run():
    """The steward is a pure step."""

    def greet(pool, greeting):
        state, reply = steward.step(pool.steward, greeting, identity=pool.steward_identity)
        return replace(pool, steward=state), reply

    return recorded(greet)


@pytest.fixture
def node_run(tmp_path):
    """The steward is a node with a home folder, an audit log and its state on disk."""
    (tmp_path / "site.toml").write_text(
        '[site]\nname = "keys"\nrole = "steward"\n[simulation]\nseed = 1\n'
    )
    create_identity(tmp_path)
    return recorded(lambda pool, greeting: (pool, handle(greeting, tmp_path)), tmp_path)
