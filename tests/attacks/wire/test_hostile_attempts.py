"""A coordinator that invents dropouts: attempts, void tokens, and noise that is drawn once."""

from dataclasses import replace

import numpy as np
import pytest

from fedcausal.statistics.gram_kind import gram_request
from fedcausal.statistics.scale_kind import scale_request
from fedcausal_clients import site_node
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import dropout
from fedcausal_privacy.secure_sum import site as secure_site
from fedcausal_privacy.secure_sum.aggregator_state import Post

GRAM = gram_request({"dose": (-16.0, 16.0)})
FOUR = ("a", "b", "c", "d")


@pytest.fixture
def four(new_coordinator, tools):
    """A function from a study to a run of four sites that is open."""

    def new(study=None):
        return new_coordinator(study, {s: tools.make_rows(seed=i) for i, s in enumerate(FOUR)})

    return new


@pytest.fixture
def lost(four):
    """All but d uploaded: (coordinator, its state then, the upload, the replies, the invitation).

    The invitation to attempt 2 carries the steward's genuine void token.
    """
    coordinator = four().open()
    upload = coordinator.upload_message([GRAM])
    replies = {site: coordinator.say(site, upload) for site in "abc"}
    coordinator.take(replies)
    before = coordinator.state
    invitation = coordinator.step(coordinator.lose("d"))[0].message
    return coordinator, before, upload, replies, invitation


def token_of(invitation):
    return Envelope.from_json(invitation.header["void"])


def close(token):
    return Message(kind="query.close", header={"void": token.to_json()})


def try_again(coordinator):
    """Void the attempt and freeze the next one over everybody: its uploads, still unsent."""
    posts = coordinator.lose("d")
    coordinator.state = replace(coordinator.state, members=FOUR)
    for _ in ("void", "advertise", "freeze"):
        posts = coordinator.step(posts)
    return posts


def test_a_forged_void_token(lost, tools):
    """Nobody but the run's steward ends an attempt; its word is for one attempt and roster."""
    coordinator, _, upload, replies, invitation = lost
    token = token_of(invitation)
    body, stranger = token.header, Identity.generate()
    for forged, expected in (
        (None, "envelope"),
        (seal(stranger, body), "signature"),
        (replace(token, header=replace(body, round=9)), "signature"),
        (replace(token, header=replace(body, roster_hash="0" * 64)), "signature"),
        (replace(token, header=replace(body, run_id="another")), "signature"),
        (Envelope.from_json(upload.header["freezes"][0]), "signature"),
    ):
        said = forged if forged is None else forged.to_json()
        reply = coordinator.say("a", tools.changed(invitation, void=said))
        assert tools.code(reply) == "protocol"
        assert expected in coordinator.reason("a"), forged
    assert coordinator.say("a", upload) == replies["a"]
    assert len(coordinator.ledger("a")) == 1
    assert tools.code(coordinator.say("a", invitation)) is None


def test_a_replayed_void_token(lost, tools):
    """A token of an earlier attempt, another run or another roster does not end this one."""
    coordinator, _, _, _, invitation = lost
    first = coordinator.say("a", invitation)
    again = coordinator.say("a", tools.changed(invitation, more=1))
    assert again.header["envelope"] == first.header["envelope"]
    assert tools.code(coordinator.say("a", tools.changed(invitation, attempt=3))) == "protocol"

    coordinator.begin("later")
    coordinator.open().upload(GRAM)
    advertise = next(
        message
        for party, message, _ in reversed(coordinator.heard)
        if (party, message.kind) == ("a", "query.advertise")
    )
    void = invitation.header["void"]
    replayed = tools.changed(advertise, attempt=2, void=void)
    assert tools.codes(coordinator.all(replayed)) == {"protocol"}
    assert "run_id" in coordinator.reason("a")

    request = dropout.void_request(coordinator.state)
    shown = request.header["advertisements"]
    elsewhere = tools.changed(request, advertisements=shown[:2])
    assert tools.code(coordinator.say("steward", elsewhere)) == "protocol"
    assert "fewer sites" in coordinator.reason("steward")
    fewer = tools.changed(request, advertisements=shown[:3])
    void = coordinator.say("steward", fewer).header["envelope"]
    misled = tools.changed(advertise, attempt=2, void=void)
    assert tools.codes(coordinator.all(misled)) == {"protocol"}
    assert "roster_hash" in coordinator.reason("a")


@pytest.mark.parametrize("attempt", [0, 3, 4, 1000, -1, "2", True, None])
def test_an_attempt_number_that_jumps(lost, tools, attempt):
    """With a genuine token in hand: only the attempt that it opens can be begun."""
    coordinator, *_, invitation = lost
    jumped = tools.changed(invitation, attempt=attempt)
    assert tools.code(coordinator.say("a", jumped)) == "protocol"
    assert tools.code(coordinator.say("a", invitation)) is None


def test_an_attempt_that_is_begun_twice_has_one_key(lost, tools):
    coordinator, *_, invitation = lost
    first = next(r for p, m, r in coordinator.heard if (p, m.kind) == ("a", "query.advertise"))
    reply = coordinator.say("a", tools.changed(invitation, attempt=1))
    assert reply.header["envelope"] == first.header["envelope"]


def test_a_fourth_attempt(four, tools):
    """Steward's word or not: a site uploads in three attempts of a run and no more."""
    coordinator = four().open()
    coordinator.upload_message([GRAM])
    for _ in range(2):
        (post, *_) = try_again(coordinator)
        assert tools.code(coordinator.say("a", post.message)) is None
    assert [entry.release.partition("/")[0] for entry in coordinator.ledger("a")] == ["1.2", "1.3"]
    token = coordinator.say("steward", dropout.void_request(coordinator.state))
    invitation = Message(
        kind="query.advertise",
        header={
            **coordinator.state.introductions,
            "manifest": coordinator.state.manifest.to_json(),
            "attempt": 4,
            "void": token.header["envelope"],
        },
        blobs={"context": coordinator.state.public_context},
    )
    assert tools.codes(coordinator.all(invitation)) == {"protocol"}
    assert "one too many" in coordinator.reason("a")


def test_an_upload_in_an_attempt_that_was_never_frozen(lost, tools):
    """Before and after the invitation: it costs no budget, and the old attempt is over, too."""
    coordinator, _, upload, _, invitation = lost
    ahead = tools.changed(upload, attempt=2)
    assert tools.code(coordinator.say("a", ahead)) == "protocol"
    assert tools.code(coordinator.say("a", invitation)) is None
    for message, expected in (
        (ahead, "before the roster was frozen"),
        (tools.changed(ahead, freezes=[]), "before the roster was frozen"),
        (upload, "another attempt"),
        (tools.changed(upload, attempt=3), "another attempt"),
    ):
        assert tools.code(coordinator.say("a", message)) == "protocol"
        assert expected in coordinator.reason("a")
    assert len(coordinator.ledger("a")) == 1


def test_a_dropout_that_was_faked(lost, tools):
    """The late upload of d comes after all: no total with it beside the one without it."""
    coordinator, before, upload, *_ = lost
    coordinator.state = before
    (decrypt,) = coordinator.step([Post(recipient="d", message=upload)])
    assert tools.code(coordinator.say("steward", decrypt.message)) == "protocol"
    assert "void" in coordinator.reason("steward")


def test_a_forged_word_at_the_end_makes_no_site_forget_a_roster(lost, tools):
    """Forgotten, the next run could leave d out while the total with d may still come."""
    coordinator, *_, invitation = lost
    token = token_of(invitation)
    forged = seal(Identity.generate(), token.header)
    coordinator.sites = FOUR[:3]
    assert tools.codes(coordinator.all(close(forged))) == {"protocol"}
    coordinator.begin("fewer")
    assert tools.codes(coordinator.all(coordinator.freeze_message())) == {"protocol"}
    assert "would show fewer than 3 sites" in coordinator.reason("a")

    coordinator.run_id = "run1"
    assert tools.codes(coordinator.all(close(token))) == {None}
    coordinator.begin("after-the-stewards-word")
    assert tools.codes(coordinator.all(coordinator.freeze_message())) == {None}


def test_a_genuine_word_after_a_release_makes_no_site_forget_its_roster(four, tools):
    """The steward says up to which round it released, whatever round it is asked about."""
    coordinator = four().open()
    coordinator.total(GRAM)
    coordinator.upload(GRAM)
    void = dropout.void_request(coordinator.state)
    assert tools.code(coordinator.say("steward", tools.changed(void, round=1))) == "protocol"
    assert "was decrypted" in coordinator.reason("steward")
    reply = coordinator.say("steward", tools.changed(void, round=1000))
    token = Envelope.from_json(reply.header["envelope"])
    assert token.header.round == 1
    coordinator.sites = FOUR[:3]
    assert tools.codes(coordinator.all(close(token))) == {None}
    coordinator.begin("fewer")
    assert tools.codes(coordinator.all(coordinator.freeze_message())) == {"protocol"}


def noised(tools):
    variables = tools.make_study().model_dump(mode="json", exclude_none=True)["variables"]
    variables["dose"]["bounds"] = [-16, 16]
    return tools.make_study(variables=variables, privacy={"graph": {"epsilon": 4.0}})


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_later_attempt_sends_the_noise_of_the_first(four, tools, monkeypatch, is_kept):
    """Off: the mean of the attempts has less noise than was paid for. On: they are one vector."""
    sent, draws = [], []
    masked, noise = secure_site.masked_reply, site_node.discrete_gaussian

    def spy(occasion, contributions, *, roster, private):
        ((_, vector),) = contributions.values()
        sent.append((occasion.site, roster.attempt, vector))
        return masked(occasion, contributions, roster=roster, private=private)

    def drawn(*arguments, **options):
        draws.append(arguments)
        return noise(*arguments, **options)

    def forgetful(home, message):
        run = site_node.load_run(home.store, message.header["run_id"])
        if run is not None:
            site_node.save_run(home.store, replace(run, vectors={}))
        return answer(home, message)

    answer = site_node.answer
    monkeypatch.setattr(secure_site, "masked_reply", spy)
    monkeypatch.setattr(site_node, "discrete_gaussian", drawn)
    if not is_kept:
        monkeypatch.setattr(site_node, "answer", forgetful)
    coordinator = four(noised(tools)).open()
    upload = coordinator.upload_message([scale_request()])
    assert tools.code(coordinator.say("a", upload)) is None
    paid, num_draws = coordinator.ledger("a"), len(draws)
    assert len(paid) == 1
    assert num_draws > 0
    (post, *_) = try_again(coordinator)
    assert tools.code(coordinator.say("a", post.message)) is None

    (_, _, first), (_, attempt, second) = sent
    assert attempt == 2
    assert np.array_equal(first, second) == is_kept
    assert (len(draws) == num_draws) == is_kept
    name = scale_request().id()
    paid = coordinator.ledger("a")
    # Noise that a site has lost is drawn again at its own price.
    again = "1.2" if is_kept else "1.2~1"
    assert [entry.release for entry in paid] == [f"1/{name}", f"{again}/{name}"]
    assert paid[0].event == paid[1].event
