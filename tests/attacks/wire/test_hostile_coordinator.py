"""A coordinator that breaks every rule it can: what sites answer, and what they write down."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedcausal.model.families import families_request
from fedcausal.model.nodeflow import build, to_vector
from fedcausal.model.nodeflow_spec import NodeFlowSpec
from fedcausal.model.update import update_request, weights_to_bytes
from fedcausal.statistics.gram_kind import gram_request
from fedcausal.statistics.kind import Request
from fedcausal_clients import egress, replies, site_node
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message

RANGES = {"dose": (-16.0, 16.0)}
GRAM = gram_request(RANGES)
NODES = ("age", "dose", "sex", "pain")


def families(*edges):
    return families_request(edges, NODES, RANGES)


def reasons(coordinator, site="north"):
    events = ("reason", "protocol", "refused")
    lines = [line for line in coordinator.audit(site) if line["event"] in events]
    return json.dumps(lines)


@pytest.fixture
def released(monkeypatch):
    """Every message that passed the gate, in order."""
    seen, real = [], egress.release

    def spy(*arguments, **options):
        seen.append(real(*arguments, **options))
        return seen[-1]

    for module in (egress, site_node, __import__("fedcausal_clients.steward_node").steward_node):
        monkeypatch.setattr(module, "release", spy)
    return seen


def test_every_reply_of_every_handler_is_what_the_gate_let_out(new_coordinator, released):
    coordinator = new_coordinator().open()
    coordinator.total(GRAM)
    coordinator.all(coordinator.forge(Request(kind="nothing")))
    for kind in ("query.close", "query.local", "query.hello", "train.upload", "query.decrypt"):
        coordinator.all(Message(kind=kind))
        coordinator.say("steward", coordinator.named(Message(kind=kind)))
    # A message to a party, its answer, and nothing else: one release each, and the same object.
    assert len(coordinator.heard) == len(released)
    for (_, _, reply), passed in zip(coordinator.heard, released, strict=True):
        assert reply is passed
    kinds = {reply.kind for _, _, reply in coordinator.heard}
    assert kinds <= replies.SITE.keys() | replies.STEWARD.keys()
    assert {"query.hello", "query.advertise", "query.freeze", "query.upload"} <= kinds
    assert {"query.decrypt", "query.close"} <= kinds


def test_everything_that_left_or_was_refused_is_in_the_audit_log(new_coordinator):
    coordinator = new_coordinator().open()
    coordinator.total(GRAM)
    coordinator.all(coordinator.forge(Request(kind="nothing")))
    to_north = [reply for party, _, reply in coordinator.heard if party == "north"]
    written = [a for a in coordinator.audit("north") if a["event"] in ("released", "refused")]
    assert len(written) == len(to_north)


def test_a_manifest_with_a_lowered_threshold(new_coordinator, tools):
    coordinator = new_coordinator(
        tools.make_study(privacy={"min_sites": 4}),
        {site: tools.make_rows(seed=i) for i, site in enumerate(("a", "b", "c", "d"))},
    )
    coordinator.begin("low", k_min=3)
    assert tools.codes(coordinator.all(coordinator.advertise_message())) == {"protocol"}
    assert "k_min is below" in reasons(coordinator, "a")


def forged(manifest, **changes):
    return {**manifest, **changes}


def stranger(name):
    return [name, Identity.generate().public, "1"]


FORGERIES = [
    (lambda m: forged(m, steward=stranger("steward")), "not a trusted party"),
    (lambda m: forged(m, roster=[*m["roster"][:2], stranger("west")]), "not a trusted party"),
    (lambda m: forged(m, roster=[*m["roster"], stranger("z1"), stranger("z2")]), "trusted"),
    (lambda m: forged(m, roster=m["roster"][:2]), "min_sites"),
    (lambda m: forged(m, roster=[m["roster"][0]] * 3), "distinct names"),
    (lambda m: forged(m, k_min=1), "min_sites"),
    (lambda m: forged(m, mode="open"), "mode"),
    (lambda m: forged(m, secure_aggregation=False), "cannot be read"),
    (lambda m: forged(m, study_hash="0" * 64), "did not approve"),
    (lambda m: forged(m, he_sha256="0" * 64), "encryption context"),
    (lambda m: forged(m, extra=1), "unknown entries"),
]


def test_a_forged_manifest(new_coordinator, tools):
    coordinator = new_coordinator()
    message = coordinator.advertise_message()
    for change, reason in FORGERIES:
        header = {**message.header, "manifest": change(message.header["manifest"])}
        reply = coordinator.say("north", replace(message, header=header))
        assert tools.code(reply) == "protocol"
        assert reason in reasons(coordinator)
    assert tools.code(coordinator.say("north", message)) is None


def test_a_roster_whose_keys_were_exchanged(new_coordinator, tools):
    coordinator = new_coordinator()
    message = coordinator.freeze_message()
    listed = json.loads(json.dumps(message.header["advertisements"]))
    listed[1]["header"]["key"] = "ab" * 32
    header = {**message.header, "advertisements": listed}
    assert tools.code(coordinator.say("north", replace(message, header=header))) == "protocol"
    assert tools.code(coordinator.say("north", message)) is None


def test_uploads_with_forged_signatures_cost_nothing(new_coordinator, tools):
    """An upload is charged after every signature of the roster was checked."""
    coordinator = new_coordinator().open()
    message = coordinator.upload_message([GRAM])
    forged_freezes = json.loads(json.dumps(message.header["freezes"]))
    forged_freezes[2]["signature"] = "00" * 64
    for header in (
        {**message.header, "freezes": forged_freezes},
        {**message.header, "freezes": []},
        {**message.header, "attempt": 2},
        {**message.header, "statistics": dict.fromkeys(message.header["statistics"], "0" * 64)},
    ):
        assert tools.code(coordinator.say("north", replace(message, header=header))) == "protocol"
    assert coordinator.ledger() == ()


FOREIGN = [
    Request(kind="votes"),
    Request(kind="heterogeneity", parameters={}),
    Request(kind="range", parameters={"variables": ["age"]}),
    Request(kind="nothing"),
    Request(kind="gram", parameters={"ranges": RANGES, "site_effects": "pool"}),
    Request(kind="gram", parameters={"ranges": {"dose": [-1.1, 9.3]}}),
    Request(kind="gram", parameters={"ranges": {"dose": [1.0, -1.0]}}),
    Request(kind="gram", parameters={"ranges": {"dose": ["a", None]}}),
    Request(kind="gram", parameters={"rows": [1, 2, 3]}),
    Request(kind="families", parameters={"edges": [["age", "age"]]}),
    Request(kind="families", parameters={"edges": [["KANARIENVOGEL", "age"]]}),
    Request(kind="families", parameters={"edges": 3, "nodes": 4}),
    Request(kind="families", parameters={"edges": [[["age"], {}]], "nodes": [["age"]]}),
    Request(kind="residuals", parameters={"edges": [], "means": {}}),
    Request(kind="residuals", parameters={"edges": [], "means": {"age": {"sd": "KANARIENVOGEL"}}}),
    Request(kind="update", parameters={}),
]


def test_statistics_that_the_study_does_not_imply(new_coordinator, tools):
    coordinator = new_coordinator().open()
    for request in FOREIGN:
        reply = coordinator.say("north", coordinator.forge(request))
        assert tools.code(reply) == "protocol", (request, reasons(coordinator))
    assert coordinator.ledger() == ()


def test_the_code_for_a_statistic_the_study_does_not_need(new_coordinator, tools):
    coordinator = new_coordinator().open()
    for request in (
        Request(kind="votes"),
        Request(kind="range", parameters={"variables": ["age"]}),
    ):
        assert tools.codes(coordinator.upload(request)) == {"not-in-study"}


def test_many_slightly_different_requests_run_into_the_limits(new_coordinator, tools):
    """Different families of one run, then of another run: numbers and requests both add up."""
    coordinator = new_coordinator(max_requests=4, max_numbers_per_value=10.0).open()
    edges = [(a, b) for a in NODES for b in NODES if a != b]
    got = [tools.codes(coordinator.upload(families(edge))) for edge in edges[:3]]
    coordinator.begin("run2")
    coordinator.open()
    got += [tools.codes(coordinator.upload(families(edge))) for edge in edges[3:6]]
    assert got == [{None}] * 4 + [{"too-many-requests"}] * 2

    capped = new_coordinator(max_requests=50).open()
    got = [tools.codes(capped.upload(families(edge))) for edge in edges]
    assert got[0] == {None}
    assert got[-1] == {"too-many-numbers"}
    assert "numbers for this site" in reasons(capped)


def test_the_same_statistic_twice_in_a_round_and_in_two_rounds(new_coordinator, tools):
    coordinator = new_coordinator().open()
    message = coordinator.upload_message([GRAM])
    first = coordinator.say("north", message)
    assert tools.code(first) is None
    assert coordinator.say("north", message) == first
    twice = replace(message, header={**message.header, "more": 1})
    assert tools.code(coordinator.say("north", twice)) == "protocol"
    assert len(coordinator.ledger()) == 1
    assert tools.codes(coordinator.upload(GRAM)) == {None}


def test_ranges_cannot_be_bisected(new_coordinator, tools):
    """Ends between the public edges are refused; at edges every try is one of max_requests."""
    coordinator = new_coordinator(max_requests=3).open()
    got = []
    for top in (8.0, 10.0, 12.0, 14.0, 16.0):
        request = gram_request({"dose": (-16.0, top)})
        got.append(tools.code(coordinator.say("north", coordinator.upload_message([request]))))
    assert got[3:] == ["too-many-requests"] * 2
    assert set(got[:3]) <= {None, "data-does-not-fit", "protocol"}


def update(coordinator, weights=None, **changes):
    study = coordinator.study
    spec = NodeFlowSpec.from_schema(
        study.schema(),
        [],
        names=NODES,
        ranges={"age": (0, 120), "dose": (-16.0, 16.0), "sex": (0, 1), "pain": (0, 2)},
        hidden=study.model.hidden,
        bins=study.model.bins,
    )
    weights = (
        to_vector(build(spec, 0))
        if weights is None
        else np.full_like(to_vector(build(spec, 0)), weights)
    )
    request = update_request(spec, round_index=0, rounds=study.model.rounds, weights=weights)
    request = Request(kind="update", parameters={**request.parameters, **changes})
    return request, {"weights": weights_to_bytes(weights)}


def test_a_model_without_noise_is_refused_for_its_size(new_coordinator, tools):
    """Weights chosen to expose one record need the update of a model with too many parameters."""
    study = tools.make_study(model={"family": "nodeflow", "hidden": 2, "bins": 2, "rounds": 2})
    coordinator = new_coordinator(study).open()
    request, blobs = update(coordinator, weights=50.0)
    message = coordinator.upload_message([request], kind="train.upload", blobs=blobs)
    assert tools.codes(coordinator.all(message)) == {"saturated"}


def test_a_wrong_round_of_training_costs_no_budget(new_coordinator, tools):
    study = tools.make_study(privacy={"model": {"epsilon": 8.0}}, model={"family": "nodeflow"})
    coordinator = new_coordinator(study).open()
    for weights, changes in (
        (None, {"round": 2}),
        (None, {"round": -1}),
        (None, {"rounds": 1}),
        (None, {"weights_sha256": "0" * 64}),
        (np.nan, {}),
    ):
        request, blobs = update(coordinator, weights=weights, **changes)
        message = replace(coordinator.forge(request), kind="train.upload", blobs=blobs)
        assert tools.code(coordinator.say("north", message)) == "protocol"
    assert coordinator.ledger() == ()


def test_an_unapproved_study_learns_nothing(new_coordinator, tools):
    coordinator = new_coordinator()
    looser = tools.make_study(privacy={"min_cell": 1})
    hello = coordinator.named(Message(kind="query.hello"), study=looser.to_toml())
    assert tools.code(coordinator.say("north", hello)) == "study-not-approved"


@pytest.mark.parametrize("num_rows", [2, 19])
def test_a_site_with_few_rows_says_so_and_not_how_many(new_coordinator, tools, num_rows):
    tables = {site: tools.make_rows(seed=i) for i, site in enumerate(tools.sites)}
    coordinator = new_coordinator(tables={**tables, "west": tools.make_rows(num_rows)})
    reply = coordinator.greet()["west"]
    assert dict(reply.header) == {"name": "west", "refusal": "too-few-rows", "where": ""}


def test_a_broken_kind_says_nothing_of_its_failure(new_coordinator, tools, monkeypatch):
    from fedcausal.statistics.gram_kind import GramKind

    def explode(*_):
        raise RuntimeError("KANARIENVOGEL 271828.18 at /tmp/Geheimspalte/site.toml")

    coordinator = new_coordinator().open()
    monkeypatch.setattr(GramKind, "compute", explode)
    assert tools.codes(coordinator.upload(GRAM)) == {"site-error"}
    assert "KANARIENVOGEL" in (coordinator.workspace / "north" / "errors.log").read_text()


def test_a_value_that_does_not_fit_is_named_by_its_variable_alone(new_coordinator, tools):
    tables = {site: tools.make_rows(seed=i) for i, site in enumerate(tools.sites)}
    tables["south"].loc[3, "age"] = 271828.18
    reply = new_coordinator(tables=tables).greet()["south"]
    expected = {"name": "south", "refusal": "data-does-not-fit", "where": "age"}
    assert dict(reply.header) == expected
