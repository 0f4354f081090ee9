"""A coordinator that speaks the wire protocol by hand, and three hospitals with planted words."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcausal.refusals import RefusalCode
from fedcausal.statistics.derive import derive_spec
from fedcausal.statistics.gram_kind import gram_request
from fedcausal.study import Study
from fedcausal_clients.node import handle
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_privacy.messages import Message, pack
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_simulations.workspace import (
    SECOND_STEWARD,
    STEWARD,
    prepare_workspace,
    stewards_of,
)

SITES = ("north", "south", "west")
# Words and values that occur in data, paths, column names and errors, and nowhere else.
CANARIES = ("KANARIENVOGEL", "271828.18", "Geheimspalte", "Traceback", ".toml", ".parquet")

# The entries that a reply's header has, by who sends it; anything else is not a reply.
REFUSAL = frozenset({"name", "refusal", "where"})
HEADERS = {
    "site": {
        REFUSAL,
        frozenset({"name", "role", "identity", "data_version", "envelope"}),
        frozenset({"envelope"}),
        frozenset({"envelopes"}),
        frozenset({"envelopes", "seeds"}),
        frozenset({"name"}),
    },
    "steward": {
        REFUSAL,
        frozenset({"name", "role", "identity", "envelope"}),
        frozenset({"name", "batch", "attempt"}),
        frozenset({"name", "envelope"}),
        frozenset({"name", "envelopes", "sites", "roster"}),
        frozenset({"name"}),
    },
    "second-steward": {
        REFUSAL,
        frozenset({"name", "role", "identity", "envelope"}),
        frozenset({"name", "pads"}),
        frozenset({"name"}),
    },
}
# The labels that operators of these tests gave to their rows.
VERSIONS = ("1", "2")
RANGES = {"dose": (-16.0, 16.0)}
VARIABLES = ("age", "dose", "sex", "pain")


def make_study(**sections):
    model = {"hidden": 2, "bins": 2, "rounds": 2, "batch": 8, "sample_rate": 0.5}
    return Study.model_validate(
        {
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, 120]},
                "dose": {"kind": "continuous"},
                "sex": {"kind": "binary", "categories": ["f", "m"]},
                "pain": {"kind": "categorical", "categories": ["no", "some", "KANARIENVOGEL"]},
            },
            "discovery": {"votes": False},
            "model": {"local_epochs": 1, **model},
            **sections,
        }
    )


def make_rows(num_rows=60, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": np.round(rng.normal(60, 12, num_rows).clip(1, 119), 1),
            "dose": np.round(rng.normal(5, 2, num_rows), 2),
            "sex": rng.choice(["f", "m"], num_rows),
            "pain": rng.choice(["no", "some", "KANARIENVOGEL"], num_rows),
        }
    )


@dataclass
class Coordinator:
    """Sends whatever it likes to the handlers of sites and stewards, and keeps every reply.

    `state` is that of an honest aggregator, which makes the messages; it is set back, edited or
    thrown away as an attack needs it.
    """

    workspace: Path
    study: Study
    run_id: str = "run1"
    sites: tuple[str, ...] = SITES
    heard: list = field(default_factory=list)
    state: object = None

    def __post_init__(self):
        self.begin(self.run_id)

    @property
    def stewards(self):
        return stewards_of(self.study)

    def begin(self, run_id, *, k_min=3, study_hash=None):
        self.run_id = run_id
        self.state = aggregator.begin(
            run_id=run_id,
            study_hash=study_hash or self.study.hash(),
            sites=self.sites,
            steward=STEWARD,
            second_steward=SECOND_STEWARD if SECOND_STEWARD in self.stewards else "",
            k_min=k_min,
        )

    def say(self, party, message):
        reply = handle(message, self.workspace / party)
        self.heard.append((party, message, reply))
        return reply

    def all(self, message):
        return {site: self.say(site, self.named(message)) for site in self.sites}

    def named(self, message, **header):
        return replace(message, header={**message.header, "run_id": self.run_id, **header})

    def take(self, replies):
        """What the aggregator would send next, after these replies."""
        posts = ()
        for party, reply in replies.items():
            self.state, more = aggregator.receive(self.state, party, reply)
            posts += more
        return posts

    def step(self, posts):
        """Say these messages, take the replies: what is to be sent next."""
        return self.take({p.recipient: self.say(p.recipient, p.message) for p in posts})

    def send(self, posts):
        """Step until there is nothing left to send."""
        while posts:
            posts = self.step(posts)
        return self

    def greet(self):
        self.state, posts = aggregator.open(self.state, {"study": self.study.to_toml()})
        return {post.recipient: self.say(post.recipient, post.message) for post in posts}

    def advertise_message(self):
        return self.take(self.greet())[0].message

    def freeze_message(self):
        return self.take(self.all(self.advertise_message()))[0].message

    def open(self):
        return self.send(self.take(self.greet()))

    def upload_message(self, requests, *, kind="query.upload", blobs=None):
        """The next round's question, whether or not the one before was ever answered."""
        specs = [derive_spec(self.study, request, len(self.sites)) for request in requests]
        listed = [request.to_json() for request in requests]
        self.state, posts = aggregator.ask(
            replace(self.state, phase="ready"),
            specs=specs,
            kind=kind,
            header={"requests": listed},
            blobs=blobs,
        )
        return posts[0].message

    def upload(self, *requests, **options):
        return self.all(self.upload_message(requests, **options))

    def forge(self, request, **header):
        """An upload of a request that no honest party can derive, under an honest digest."""
        honest = self.upload_message([gram_request(RANGES)])
        digest = next(iter(honest.header["statistics"].values()))
        forged = {"requests": [request.to_json()], "statistics": {request.id(): digest}}
        return replace(honest, header={**honest.header, **forged, **header})

    def total(self, request, **options):
        replies = self.upload(request, **options)
        assert not any("refusal" in r.header for r in replies.values()), replies
        self.send(self.take(replies))
        return self.state.totals[request.id()]

    def lose(self, *silent):
        """The deadline passes without these sites' answers: what is sent next."""
        self.state, posts = aggregator.expire(replace(self.state, waiting=silent))
        return posts

    def ledger(self, site="north"):
        with Ledger(self.workspace / site / "state" / "ledger.db") as book:
            return book.entries()

    def reason(self, party):
        """Why a party refused last, in its own words: the secure sum's, then the node's."""
        events = [a for a in self.audit(party) if a["event"] in ("reason", "protocol")][-2:]
        said = events if events[0]["event"] == "protocol" else events[-1:]
        return "; ".join(event["details"]["reason"] for event in said)

    def audit(self, site):
        path = self.workspace / site / "audit.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


def changed(message, **header):
    """A message with some entries of its header exchanged."""
    return replace(message, header={**message.header, **header})


def code(reply):
    return reply.header.get("refusal")


def codes(replies):
    return {code(reply) for reply in replies.values()}


def check_reply(party, message, reply):
    """What any reply may be: closed shapes, closed codes, names that are public, no count."""
    role = party if party in (STEWARD, SECOND_STEWARD) else "site"
    assert frozenset(reply.header) in HEADERS[role], reply.header
    if "refusal" in reply.header:
        assert reply.header["refusal"] in set(RefusalCode)
        known = (
            "",
            *VARIABLES,
            "gram",
            "patterns",
            "effect_patterns",
            "margins",
            "families",
            "residuals",
            "range",
            "update",
            "tables",
            "votes",
            "noisy_families",
        )
        assert reply.header["where"] in (*known, "heterogeneity")
        assert reply.blobs == {}
    assert reply.header.get("data_version", "1") in VERSIONS
    _check_blobs(role, reply)
    for envelope in _envelopes(reply):
        assert envelope["header"]["round"] in _rounds(message)
        assert envelope["header"]["attempt"] in (0, 1, message.header.get("attempt"))
    _check_canaries(_without_run(reply, message.header.get("run_id")))


def _rounds(message):
    """Rounds that an answer may be about; a void token names one that is over."""
    asked = message.header.get("round")
    return range(asked + 1) if message.kind == "query.void" and asked else (0, asked)


def _check_blobs(role, reply):
    """One ciphertext for each signed vector, one sealed seed for each signed seed, no other."""
    if role != "site":
        return
    names = {
        f"{kind}/{name}"
        for kind, entry in (("ciphertext", "envelopes"), ("seed", "seeds"))
        for name in reply.header.get(entry, {})
    }
    assert set(reply.blobs) == names


def _envelopes(reply):
    one = [reply.header[entry] for entry in ("envelope", "roster") if entry in reply.header]
    several = [reply.header.get(entry, {}) for entry in ("envelopes", "seeds", "pads")]
    return [*one, *(envelope for entries in several for envelope in entries.values())]


def _without_run(reply, run_id):
    """A reply less the run's name where it is signed: a word of the coordinator's own."""
    header = json.loads(json.dumps(dict(reply.header)))
    for envelope in _envelopes(replace(reply, header=header)):
        if envelope["header"]["run_id"] == run_id:
            envelope["header"]["run_id"] = ""
    return replace(reply, header=header)


def _check_canaries(reply):
    content = pack(reply)
    for word in CANARIES:
        assert word.encode() not in content, word


@pytest.fixture
def hospitals():
    return {site: make_rows(seed=i) for i, site in enumerate(SITES)}


@pytest.fixture
def new_coordinator(tmp_path):
    """A function from study, tables and policy to a hostile coordinator."""
    made = []

    def new(study=None, tables=None, **policy):
        study = study or make_study()
        tables = tables or {site: make_rows(seed=i) for i, site in enumerate(SITES)}
        folder = tmp_path / f"Geheimspalte{len(made)}"
        prepare_workspace(study, tables, folder, seed=1, policy=policy)
        made.append(Coordinator(workspace=folder, study=study, sites=tuple(sorted(tables))))
        return made[-1]

    yield new
    for coordinator in made:
        for party, message, reply in coordinator.heard:
            check_reply(party, message, reply)


@pytest.fixture
def tools():
    """The helpers of this file by name, for tests to use."""
    from types import SimpleNamespace

    return SimpleNamespace(
        make_study=make_study,
        make_rows=make_rows,
        changed=changed,
        code=code,
        codes=codes,
        check_reply=check_reply,
        Message=Message,
        canaries=CANARIES,
        sites=SITES,
    )
