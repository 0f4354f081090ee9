"""A coordinator against two stewards: other rosters, other pad keys, another mode."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcausal.statistics.gram_kind import gram_request
from fedcausal_privacy.canonical import canonical_json, sha256_hex
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.secure_sum import headers, passing_on, second_steward, steward
from fedcausal_privacy.secure_sum import site as secure_site

GRAM = gram_request({"dose": (-16.0, 16.0)})
FOUR = ("a", "b", "c", "d")
TWO_STEWARDS = {"mode": "two-steward"}


@pytest.fixture
def new_padded(new_coordinator, tools):
    """A function to a coordinator of four sites and two stewards."""

    def new():
        tables = {site: tools.make_rows(seed=i) for i, site in enumerate(FOUR)}
        return new_coordinator(tools.make_study(privacy=TWO_STEWARDS), tables)

    return new


@pytest.fixture
def padded(new_padded):
    return new_padded().open()


def ask_without_d(coordinator, tools):
    """The next round over a, b, c; the roster that was released before goes unmentioned."""
    coordinator.state = replace(coordinator.state, members=FOUR[:3])
    message = coordinator.upload_message([GRAM])
    silent = {k: v for k, v in message.header.items() if not k.startswith("released")}
    return message, replace(message, header=silent)


def test_a_statistic_asked_for_twice_with_different_rosters(padded, tools):
    """One statistic of a round has one pad; sites and second steward act for it once."""
    message = padded.upload_message([GRAM])
    replies = padded.all(message)
    assert tools.codes(replies) == {None}
    twice = tools.changed(message, sites=list(FOUR[:3]))
    assert {tools.code(padded.say(site, twice)) for site in "abc"} == {"protocol"}
    assert "uploaded before" in padded.reason("a")
    assert len(padded.ledger("a")) == 1

    (pads,) = padded.take(replies)
    assert tools.code(padded.say("second-steward", pads.message)) is None
    smaller = replace(padded.state, members=FOUR[:3])
    request = passing_on.pads_request(smaller)
    assert tools.code(padded.say("second-steward", request)) == "protocol"
    assert "added before" in padded.reason("second-steward")


@pytest.mark.parametrize("careless", ["nobody", "sites", "sites-and-second", "everybody"])
def test_totals_of_two_rosters(padded, tools, monkeypatch, careless):
    """Off: the difference is d's vector. On: sites, second steward and steward each refuse."""
    sent, reply_of = {}, secure_site.padded_reply

    def spy(occasion, contributions):
        ((_, sent[occasion.site]),) = contributions.values()
        return reply_of(occasion, contributions)

    monkeypatch.setattr(secure_site, "padded_reply", spy)
    everyone = padded.total(GRAM).totals
    message, silent = ask_without_d(padded, tools)
    if careless == "nobody":
        assert {tools.code(padded.say(site, message)) for site in "abc"} == {"protocol"}
        assert "would show fewer than 3 sites" in padded.reason("a")
        assert len(padded.ledger("a")) == 1
        return
    if careless != "sites":
        monkeypatch.setattr(second_steward, "check_atoms", lambda *_, **__: None)
    if careless == "everybody":
        monkeypatch.setattr(steward, "check_atoms", lambda *_, **__: None)
    # A site that is told nothing of the first roster cannot know that it was released.
    replies = {site: padded.say(site, silent) for site in "abc"}
    assert tools.codes(replies) == {None}
    (pads,) = padded.take(replies)
    reply = padded.say("second-steward", pads.message)
    assert tools.code(reply) == ("protocol" if careless == "sites" else None)
    if careless == "sites":
        assert "would show fewer than 3 sites" in padded.reason("second-steward")
        return
    (decrypt,) = padded.take({"second-steward": reply})
    reply = padded.say("steward", decrypt.message)
    assert tools.code(reply) == (None if careless == "everybody" else "protocol")
    if careless == "everybody":
        padded.take({"steward": reply})
        fewer = padded.state.totals[GRAM.id()].totals
        assert np.array_equal(everyone - fewer, sent["d"])


def test_a_false_word_about_what_was_released(padded, tools):
    """The roster of the round before is the steward's to say: not forged, not of another list."""
    padded.total(GRAM)
    message, _ = ask_without_d(padded, tools)
    names = list(FOUR[:3])
    said = Envelope.from_json(message.header["released_envelope"])
    forged = seal(Identity.generate(), said.header, canonical_json(names)).to_json()
    for envelope, expected in ((said.to_json(), "payload"), (forged, "signature"), (None, "env")):
        lie = tools.changed(message, released=names, released_envelope=envelope)
        assert tools.code(padded.say("a", lie)) == "protocol"
        assert expected in padded.reason("a")
    assert len(padded.ledger("a")) == 1


def announced(name, identity, run_id, key):
    """What a second steward with this identity and pad key would say of itself."""
    header = headers.hello_header(
        run_id=run_id, sender=name, identity=identity.public, he_sha256=sha256_hex(key)
    )
    return seal(identity, header, key).to_json()


def test_a_pad_key_of_the_coordinators_own_making(new_padded, tools):
    """With it the coordinator would open every seed: only the second steward's own is taken."""
    coordinator = new_padded()
    message = coordinator.advertise_message()
    manifest = dict(message.header["manifest"])
    own, stranger = (
        X25519PrivateKey.generate().public_key().public_bytes_raw(),
        Identity.generate(),
    )
    name, identity, _ = manifest["second_steward"]
    exchanged = {**manifest, "pad_key": own.hex()}
    in_person = {**exchanged, "second_steward": [name, stranger.public, ""]}
    introduction = announced(name, stranger, coordinator.run_id, own)
    twin = {**manifest, "second_steward": ["twin", manifest["steward"][1], ""]}
    for forged, second, expected in (
        (exchanged, message.header["second_steward"], "he_sha256"),
        (exchanged, introduction, "signature"),
        (exchanged, None, "envelope"),
        (in_person, introduction, "not a trusted party"),
        ({**manifest, "pad_key": ""}, message.header["second_steward"], "second steward"),
        (twin, message.header["second_steward"], "share an identity"),
    ):
        lie = tools.changed(message, manifest=forged, second_steward=second)
        assert tools.code(coordinator.say("a", lie)) == "protocol"
        assert expected in coordinator.reason("a")
    assert identity != stranger.public
    assert tools.code(coordinator.say("a", message)) is None


def test_seeds_are_added_for_the_manifest_of_the_sites_only(padded, tools):
    """The second steward opens no seed under a manifest with another pad key."""
    replies = padded.upload(GRAM)
    (pads,) = padded.take(replies)
    own = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    manifest = {**pads.message.header["manifest"], "pad_key": own}
    lie = tools.changed(pads.message, manifest=manifest)
    assert tools.code(padded.say("second-steward", lie)) == "protocol"
    assert "not for this steward and its key" in padded.reason("second-steward")
    assert tools.code(padded.say("second-steward", pads.message)) is None


def test_there_is_no_attempt_to_void(padded, tools):
    """A void token would let a site pad a second vector of the same statistic."""
    padded.upload(GRAM)
    manifest = padded.state.manifest
    header = headers.void_header(
        manifest, attempt=1, roster_hash="", last_released=0, is_released=False
    )
    void = {
        "run_id": padded.run_id,
        "manifest": manifest.to_json(),
        "attempt": 1,
        "round": 1,
        "advertisements": [],
    }
    assert tools.code(padded.say("steward", tools.Message(kind="query.void", header=void))) == (
        "protocol"
    )
    first = next(m for p, m, _ in padded.heard if (p, m.kind) == ("a", "query.advertise"))
    token = seal(Identity.generate(), header).to_json()
    invitation = tools.changed(first, attempt=2, void=token)
    assert tools.codes(padded.all(invitation)) == {"protocol"}


@pytest.mark.parametrize("is_checked", [False, True])
@pytest.mark.parametrize("mode", ["masked", "two-steward"])
def test_a_run_in_another_mode_than_the_study(
    new_padded, new_coordinator, tools, monkeypatch, mode, is_checked
):
    """Which parties may not collude is in the study that a site approved, not in the manifest."""
    coordinator = new_padded() if mode == "masked" else new_coordinator()
    if not is_checked:
        begin = secure_site.begin
        monkeypatch.setattr(secure_site, "begin", lambda mode, **others: begin(**others))
    name, second = "second-steward", Identity.generate()
    for site in coordinator.sites if mode == "two-steward" else ():
        path = coordinator.workspace / site / "site.toml"
        trusted = f'[trust]\n{name} = "{second.public}"'
        path.write_text(path.read_text().replace("[trust]", trusted))
    message = coordinator.advertise_message()
    key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    other = {"mode": mode, "second_steward": None, "pad_key": ""}
    if mode == "two-steward":
        other |= {"second_steward": [name, second.public, ""], "pad_key": key.hex()}
    introduction = announced(name, second, coordinator.run_id, key)
    manifest = {**message.header["manifest"], **other}
    lie = tools.changed(message, manifest=manifest, second_steward=introduction)
    if is_checked:
        assert tools.codes(coordinator.all(lie)) == {"protocol"}
        assert "mode" in coordinator.reason(coordinator.sites[0])
    assert tools.codes(coordinator.all(message if is_checked else lie)) == {None}
