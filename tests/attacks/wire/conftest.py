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
from fedcausal_privacy.messages import Message, pack
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_simulations.workspace import prepare_workspace

SITES = ("north", "south", "west")
# Words and values that occur in data, paths, column names and errors, and nowhere else.
CANARIES = ("KANARIENVOGEL", "271828.18", "Geheimspalte", "Traceback", ".toml", ".parquet")

HEADERS = {
    frozenset({"name", "refusal", "where"}),
    frozenset({"name", "role", "identity", "envelope"}),
    frozenset({"envelope"}),
    frozenset({"envelopes"}),
    frozenset({"name"}),
}
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
    """Sends whatever it likes to the handlers of sites and steward, and keeps every reply."""

    workspace: Path
    study: Study
    run_id: str = "run1"
    sites: tuple[str, ...] = SITES
    heard: list = field(default_factory=list)
    state: object = None
    round: int = 0

    def __post_init__(self):
        self.begin(self.run_id)

    def begin(self, run_id, *, k_min=3, study_hash=None):
        self.run_id, self.round = run_id, 0
        self.state = aggregator.begin(
            run_id=run_id, study_hash=study_hash or self.study.hash(), k_min=k_min
        )

    def say(self, party, message):
        reply = handle(message, self.workspace / party)
        self.heard.append((party, message, reply))
        return reply

    def all(self, message):
        return {site: self.say(site, self.named(message)) for site in self.sites}

    def named(self, message, **header):
        return replace(message, header={**message.header, "run_id": self.run_id, **header})

    def greet(self):
        hello = self.named(aggregator.hello(self.state), study=self.study.to_toml())
        return {party: self.say(party, hello) for party in (*self.sites, "steward")}

    def advertise_message(self):
        replies = self.greet()
        steward = replies.pop("steward")
        self.state, message = aggregator.advertise(
            self.state, sites=list(replies.values()), steward=steward
        )
        return self.named(message)

    def freeze_message(self):
        replies = self.all(self.advertise_message())
        self.state, message = aggregator.freeze(self.state, list(replies.values()))
        return self.named(message)

    def open(self):
        replies = self.all(self.freeze_message())
        self.state = aggregator.confirm(self.state, list(replies.values()))
        return self

    def upload_message(self, requests, *, kind="query.upload", blobs=None):
        self.round += 1
        specs = [derive_spec(self.study, request, len(self.sites)) for request in requests]
        message = aggregator.upload(self.state, round=self.round, specs=specs, kind=kind)
        listed = [request.to_json() for request in requests]
        return replace(self.named(message, requests=listed), blobs=dict(blobs or {}))

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
        spec = derive_spec(self.study, request, len(self.sites))
        blind = aggregator.combine(
            self.state, round=self.round, specs=[spec], replies=list(replies.values())
        )
        reply = self.say("steward", self.named(blind))
        released = aggregator.released(self.state, round=self.round, specs=[spec], reply=reply)
        return released[spec.name]

    def audit(self, site):
        path = self.workspace / site / "audit.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]


def code(reply):
    return reply.header.get("refusal")


def codes(replies):
    return {code(reply) for reply in replies.values()}


def check_reply(party, message, reply):
    """What any reply may be: closed shapes, closed codes, names that are public, no count."""
    assert frozenset(reply.header) in HEADERS, reply.header
    if "refusal" in reply.header:
        assert reply.header["refusal"] in set(RefusalCode)
        known = ("", *VARIABLES, "gram", "families", "residuals", "range", "update", "votes")
        assert reply.header["where"] in (*known, "heterogeneity")
        assert reply.blobs == {}
    for envelope in _envelopes(reply):
        numbers = {envelope["header"]["round"], envelope["header"]["attempt"]}
        asked = message.header.get("round")
        assert numbers <= {0, 1, asked if type(asked) is int else 0}
    _check_canaries(reply)


def _envelopes(reply):
    one = reply.header.get("envelope")
    return [one] if one else list(reply.header.get("envelopes", {}).values())


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
            if party != "steward":
                check_reply(party, message, reply)


@pytest.fixture
def tools():
    """The helpers of this file by name, for tests to use."""
    from types import SimpleNamespace

    return SimpleNamespace(
        make_study=make_study,
        make_rows=make_rows,
        code=code,
        codes=codes,
        check_reply=check_reply,
        Message=Message,
        canaries=CANARIES,
        sites=SITES,
    )
