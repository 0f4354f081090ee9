"""No approval, no run: a coordinator that asks anyway, over the wire."""

import json
from dataclasses import replace

import pytest

from fedcausal.cli import main
from fedcausal.statistics.gram_kind import gram_request
from fedcausal_clients.home import open_home
from fedcausal_clients.policy.consent import (
    MAX_WAITING,
    approve_study,
    deny_study,
    find_request,
    kept_requests,
)
from fedcausal_privacy.messages import Message

GRAM = gram_request({"dose": (-16.0, 16.0)})


@pytest.fixture
def coordinator(new_coordinator):
    """North approves by hand, and has approved nothing; the others know the study's hash."""
    made = new_coordinator()
    path = made.workspace / "north" / "site.toml"
    text = path.read_text()
    listed = f'approved = [\n    "{made.study.hash()}",\n]\n'
    assert 'approve = "by_hash"' in text
    assert listed in text
    path.write_text(text.replace(listed, "").replace('"by_hash"', '"manual"'))
    return made


def decide(coordinator, what, *words):
    with open_home(coordinator.workspace / "north") as home:
        what(home.store, home.gate.audit, coordinator.study.hash(), *words)


def events(coordinator, *names):
    return [line for line in coordinator.audit("north") if line["event"] in names]


def test_without_approval_nothing_runs_and_the_request_is_kept(coordinator, tools):
    replies = coordinator.greet()
    assert tools.code(replies["north"]) == "study-not-approved"
    assert tools.code(replies["south"]) is None
    assert coordinator.ledger() == ()
    with open_home(coordinator.workspace / "north") as home:
        (request,) = kept_requests(home.store)
        assert request.read() == coordinator.study
        assert find_request(home.store, request.study.upper()) == request
    (line,) = events(coordinator, "requested")
    assert line["details"]["study"] == coordinator.study.hash()


def test_no_later_message_helps_without_approval(coordinator, tools):
    """The coordinator plays the honest part for the others and asks north out of order."""
    coordinator.greet()
    for kind in ("query.advertise", "query.freeze", "query.upload", "train.upload"):
        message = Message(kind=kind, header={"study": coordinator.study.to_toml()})
        reply = coordinator.say("north", coordinator.named(message))
        assert tools.code(reply) in ("protocol", "study-not-approved")
    assert coordinator.ledger() == ()


def test_after_approval_the_study_runs_and_after_a_denial_it_ends(coordinator, tools):
    coordinator.greet()
    decide(coordinator, approve_study)
    coordinator.begin("run2")
    coordinator.open()
    assert coordinator.total(GRAM)
    charged = coordinator.ledger()
    decide(coordinator, deny_study, "the ethics board withdrew")
    again = gram_request({"dose": (-32.0, 32.0)})
    assert tools.code(coordinator.upload(again)["north"]) == "study-denied"
    coordinator.begin("run3")
    assert tools.code(coordinator.greet()["north"]) == "study-denied"
    assert coordinator.ledger() == charged
    (approved,), (denied,) = events(coordinator, "approved"), events(coordinator, "denied")
    assert approved["details"]["study"] == denied["details"]["study"] == coordinator.study.hash()
    assert denied["details"]["reason"] == "the ethics board withdrew"
    for _, _, reply in coordinator.heard:
        assert "ethics" not in json.dumps(dict(reply.header))


def test_a_denial_outweighs_the_policys_list(new_coordinator, tools):
    coordinator = new_coordinator()
    decide(coordinator, deny_study, "not us")
    assert tools.code(coordinator.greet()["north"]) == "study-denied"


def test_a_changed_study_needs_an_approval_of_its_own(coordinator, tools):
    decide(coordinator, approve_study)
    other = tools.make_study(privacy={"min_cell": 6})
    coordinator.study = other
    coordinator.begin("run2")
    assert tools.code(coordinator.greet()["north"]) == "study-not-approved"


def test_a_flood_of_studies_is_bounded(coordinator, tools):
    kept = []
    for number in range(MAX_WAITING + 5):
        coordinator.study = tools.make_study(study={"name": f"study {number}"})
        coordinator.begin(f"flood{number}")
        message = Message(
            kind="query.hello",
            header={"study": coordinator.study.to_toml(), "run_id": f"flood{number}"},
        )
        reply = coordinator.say("north", message)
        assert tools.code(reply) == "study-not-approved"
    with open_home(coordinator.workspace / "north") as home:
        kept = kept_requests(home.store)
    assert len(kept) == MAX_WAITING
    assert len(events(coordinator, "request not kept")) == 5
    huge = tools.make_study(study={"name": "huge", "title": "x" * 2**19})
    message = Message(kind="query.hello", header={"study": huge.to_toml(), "run_id": "huge"})
    assert tools.code(coordinator.say("north", message)) == "study-not-approved"


def test_the_operator_decides_from_the_command_line(coordinator, tools, capsys):
    home = str(coordinator.workspace / "north")

    def site(*arguments, code=0):
        assert main(["site", "requests", *arguments, "--home", home]) == code
        return capsys.readouterr()

    assert "no study has asked" in site("list").out
    coordinator.greet()
    coordinator.begin("run2")
    coordinator.greet()
    mark, state = site("list", "--quiet").out.split()
    assert state == "waiting"
    shown = site("show", mark)
    assert max(map(len, shown.out.splitlines())) <= 80
    answer = json.loads(site("show", mark, "--format", "json").out)["data"]
    assert (answer["hash"], answer["times"]) == (coordinator.study.hash(), 2)
    site("approve", mark[:19], code=4)
    site("approve", mark)
    coordinator.begin("run3")
    coordinator.open()
    assert coordinator.total(GRAM)
    assert "without" in site("show", mark).out
    site("deny", mark, "--reason", "  ", code=4)
    site("deny", mark, "--reason", "no longer")
    assert f"denied  {mark}" in site("list").out
    assert "no longer" in site("show", mark).out
    assert tools.code(coordinator.upload(GRAM)["north"]) == "study-denied"


def test_by_hash_is_the_files_word(new_coordinator, tools, capsys):
    coordinator = new_coordinator()
    coordinator.study = tools.make_study(privacy={"min_cell": 7})
    coordinator.begin("other")
    coordinator.greet()
    home = str(coordinator.workspace / "north")
    arguments = ["site", "requests", "approve", coordinator.study.hash(), "--home", home]
    assert main(arguments) == 4
    assert f'add "{coordinator.study.hash()}"' in capsys.readouterr().err
    path = coordinator.workspace / "north" / "site.toml"
    path.write_text(
        path.read_text().replace("approved = [\n", f'approved = [\n"{coordinator.study.hash()}",')
    )
    coordinator.state = replace(coordinator.state)
    coordinator.begin("again")
    assert tools.code(coordinator.greet()["north"]) is None
