"""Attacks on the protocol: each fails, and each succeeds once its one defence is switched off.

Every case is a pair. First the attack runs against the protocol as it is and is refused, with the
state unchanged and the reason in the audit. Then the one check that stops it is patched away, and
the same attack goes through: so it is that check, and no accident, that stops it.
"""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from scipy.stats import chi2

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import Envelope, open_envelope, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.identity import Identity
from fedcausal_privacy.manifest import MAX_SITES, Manifest, Party
from fedcausal_privacy.masks import mask_words
from fedcausal_privacy.messages import Message
from fedcausal_privacy.pads import PadContext, open_seed, seal_seed
from fedcausal_privacy.secure_sum import (
    aggregator,
    attempts,
    collecting,
    contribution,
    headers,
    passing_on,
    second_steward,
    site,
    steward,
)
from fedcausal_privacy.secure_sum.in_process import SECOND_STEWARD, STEWARD, SecureSum
from fedcausal_privacy.secure_sum.pending import PendingSum


def play(pool, posts, given, *, stop, silent=()):
    """Go on until a message of kind `stop` is to be sent: (states, that message, all replies)."""
    queue, replies = list(posts), []
    while True:
        if not queue:
            state, more = aggregator.expire(pool.aggregator)
        elif queue[0].message.kind == stop:
            return pool, queue[0].message, replies
        else:
            post = queue.pop(0)
            if post.recipient in silent:
                continue
            pool, reply = pool.deliver(post, given)
            replies.append((post.recipient, reply))
            state, more = aggregator.receive(pool.aggregator, post.recipient, reply)
        pool = replace(pool, aggregator=state)
        queue += more


def play_round(pool, given, spec, *, stop, silent=()):
    state, posts = aggregator.ask(pool.aggregator, specs=[spec])
    return play(replace(pool, aggregator=state), posts, given, stop=stop, silent=silent)


def refused(step, reason):
    """The attack is refused with the one outward error; the audit knows why."""
    reasons = []
    with pytest.raises(ProtocolError):
        step(reasons.append)
    assert any(reason in said for said in reasons), reasons


def at_steward(pool, message):
    return lambda note=lambda _: None: steward.step(
        pool.steward, message, identity=pool.identities[STEWARD], on_refusal=note
    )


def at_second(pool, message):
    return lambda note=lambda _: None: second_steward.step(
        pool.second_steward, message, identity=pool.identities[SECOND_STEWARD], on_refusal=note
    )


def at_site(pool, name, message, contributions=None):
    return lambda note=lambda _: None: site.step(
        pool.sites[name],
        message,
        identity=pool.identities[name],
        contributions=contributions,
        on_refusal=note,
    )


def trusting_header(envelope, payload=b"", *, signer, expected, on_refusal):
    """`open_envelope` without its comparison of headers: any signature of the party will do."""
    return open_envelope(
        envelope, payload, signer=signer, expected=envelope.header, on_refusal=on_refusal
    )


# Replays.


@pytest.fixture(scope="module")
def later(recorded, contributions, recording):
    """The round after `recorded`, before the steward decrypts it."""
    return recording(recorded.before["end", ""], contributions)


@pytest.fixture(scope="module")
def retried(contributions, spec):
    """A round whose first attempt lost site d: (states before the total, request, replies)."""
    given = {**contributions, "d": contributions["a"]}
    pool = SecureSum.open(tuple(given), run_id="retried")
    return play_round(pool, given, spec, stop="query.decrypt", silent={"d"})


def test_a_replay_from_another_round_is_refused(recorded, later, with_entries, monkeypatch):
    """An old upload of site a in the place of its new one, the old ciphertext with it."""
    old = recorded.decrypt
    uploads = {**later.decrypt.header["uploads"], "a": old.header["uploads"]["a"]}
    blob = headers.forwarded_blob("gram", "a")
    attack = with_entries(later.decrypt, {blob: old.blobs[blob]}, uploads=uploads)
    refused(at_steward(later.pool, attack), "differs in round")
    monkeypatch.setattr(collecting, "open_envelope", trusting_header)
    _, pending = collected_by(later.pool, attack)
    assert pending.entries["gram"][0][0] == "a"


def collected_by(pool, message):
    manifest = Manifest.from_json(message.header["manifest"])
    return steward._with_uploads(pool.steward, message, manifest, lambda _: None)


def test_a_replay_from_another_run_or_attempt_is_refused(
    recorded, retried, contributions, with_entries, monkeypatch, recording
):
    other = recording(SecureSum.open(tuple(contributions), run_id="other"), contributions)
    pool, decrypt, replies = retried
    first = next(r for who, r in replies if who == "a" and r.kind == "query.upload")
    assert Envelope.from_json(first.header["envelopes"]["gram"]).header.attempt == 1
    cases = [
        (recorded.pool, recorded.decrypt, other.replies["query.upload", "a"]),
        (pool, decrypt, first),
    ]
    for place, message, old in cases:
        uploads = {**message.header["uploads"], "a": old.header["envelopes"]}
        blob = {headers.forwarded_blob("gram", "a"): old.blobs["ciphertext/gram"]}
        attack = with_entries(message, blob, uploads=uploads)
        refused(at_steward(place, attack), "'a'")
        with monkeypatch.context() as patch:
            patch.setattr(collecting, "open_envelope", lambda envelope, *_, **__: envelope.header)
            collected_by(place, attack)


def test_a_doubled_or_swapped_site_is_refused(recorded, with_entries, monkeypatch):
    uploads = recorded.decrypt.header["uploads"]
    blobs = {
        headers.forwarded_blob("gram", "a"): recorded.decrypt.blobs[
            headers.forwarded_blob("gram", "b")
        ]
    }
    attack = with_entries(recorded.decrypt, blobs, uploads={**uploads, "a": uploads["b"]})
    refused(at_steward(recorded.pool, attack), "signature of 'a'")
    monkeypatch.setattr(collecting, "open_envelope", lambda envelope, *_, **__: envelope.header)
    _, pending = collected_by(recorded.pool, attack)
    assert pending.entries["gram"][0][1] == pending.entries["gram"][1][1]


def test_an_upload_that_comes_twice_counts_once(recorded, monkeypatch):
    """The same batch again: with the count off, a site would be in the sum twice."""
    state, _ = collect_in(recorded.pool, recorded.decrypt)
    pool = replace(recorded.pool, steward=state)
    again = replace(recorded.decrypt, kind="query.collect")
    again = replace(again, header={**again.header, "batch": 2})
    refused(at_steward(pool, again), "twice in one sum")
    monkeypatch.setattr(PendingSum, "sites", property(lambda self: ()))
    state, _ = collect_in(pool, recorded.decrypt)
    assert len(state.pending.entries["gram"]) == 6


def collect_in(pool, decrypt):
    message = replace(decrypt, kind="query.collect", header={**decrypt.header, "batch": 1})
    return at_steward(pool, message)()


# Rosters.


def test_a_roster_shown_differently_to_two_sites_is_found_before_any_value_leaves(
    contributions, monkeypatch
):
    """b is shown another key for a: its signature is of another roster, and a refuses it."""
    pool = SecureSum.begin(tuple(contributions), run_id="split")
    state, posts = aggregator.open(pool.aggregator)
    frozen, _, _ = play(replace(pool, aggregator=state), posts, {}, stop="query.freeze")
    manifest, honest = frozen.aggregator.manifest, frozen.aggregator.roster
    other_key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    forged_roster = replace(honest, keys=(other_key, *honest.keys[1:]))
    header = headers.freeze_header(
        manifest, attempt=1, site="b", roster_hash=forged_roster.digest(manifest)
    )
    signed_by_b = seal(frozen.identities["b"], header)
    freezes = [
        seal(
            frozen.identities[name],
            headers.freeze_header(
                manifest, attempt=1, site=name, roster_hash=honest.digest(manifest)
            ),
        )
        for name in "ac"
    ]
    spec = contributions["a"]["gram"][0]
    request = Message(
        kind="query.upload",
        header={
            "run_id": "split",
            "round": 1,
            "attempt": 1,
            "statistics": {"gram": spec.digest()},
            "freezes": [e.to_json() for e in (freezes[0], signed_by_b, freezes[1])],
        },
    )
    at_a = replace(frozen.sites["a"], roster=honest)
    pool = replace(frozen, sites={**frozen.sites, "a": at_a})
    refused(at_site(pool, "a", request, contributions["a"]), "differs in roster_hash")
    monkeypatch.setattr(site, "check_freezes", lambda *_, **__: None)
    _, reply = at_site(pool, "a", request, contributions["a"])()
    assert reply.blobs


def test_a_second_roster_in_one_attempt_is_refused(opening, monkeypatch):
    """The coordinator exchanges b's key after a has signed: a would mask for another roster."""
    pool = opening.before["end", ""]
    manifest = pool.aggregator.manifest
    sent = opening.messages["query.freeze", "a"]
    key = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    other = seal(
        pool.identities["b"], headers.advertise_header(manifest, attempt=1, site="b", key=key)
    )
    first, _, third = sent.header["advertisements"]
    attack = replace(
        sent, header={**sent.header, "advertisements": [first, other.to_json(), third]}
    )
    refused(at_site(pool, "a", attack), "second roster in the same attempt")
    # The same state without the memory of the first roster is what the check stands on.
    forgetful = replace(pool.sites["a"], roster=None)
    state, _ = at_site(replace(pool, sites={**pool.sites, "a": forgetful}), "a", attack)()
    assert state.roster.keys[1].hex() == key


def test_the_rule_on_atoms_holds_at_steward_and_sites(recorded, spec, monkeypatch):
    """{1,2,3}, {4,5,6} and then {1,...,7} would show site 7."""
    names = tuple("1234567")
    earlier = tuple(dict.fromkeys(group, "") for group in ("123", "456"))
    given = {n: {"gram": (spec, np.full(4, i))} for i, n in enumerate(names)}
    pool = SecureSum.open(names, run_id="atoms")
    before, decrypt, _ = play_round(pool, given, spec, stop="query.decrypt")
    wary = replace(before, steward=replace(before.steward, known=earlier))
    refused(at_steward(wary, decrypt), "fewer than 3 sites")
    remembering = replace(pool.sites["1"], known=earlier)
    freeze = replace(pool, sites={**pool.sites, "1": remembering})
    _, posts = aggregator.ask(pool.aggregator, specs=[spec])
    request = posts[0].message
    refused(at_site(freeze, "1", request, given["1"]), "fewer than 3 sites")
    monkeypatch.setattr(steward, "check_atoms", lambda *_, **__: None)
    monkeypatch.setattr(attempts, "check_atoms", lambda *_, **__: None)
    assert at_steward(wary, decrypt)()[1].blobs
    assert at_site(freeze, "1", request, given["1"])()[1].blobs


def test_more_than_a_thousand_sites_are_refused(monkeypatch):
    """1000 summands leave 6 bits of noise budget; a wrong decryption would leak."""

    def manifest():
        return Manifest(
            run_id="many",
            study_hash="1" * 64,
            roster=tuple(
                Party(name=f"{i:04d}", identity=sha256_hex(bytes([i // 256, i % 256])))
                for i in range(1001)
            ),
            steward=Party(name="steward", identity="d" * 64),
            he_sha256="2" * 64,
        )

    with pytest.raises(ProtocolError, match="number of sites <= 1000"):
        manifest()
    monkeypatch.setitem(MAX_SITES, "masked", 2000)
    assert len(manifest().roster) == 1001


# Void tokens and decryptions.


def void_request(pool, attempt=1, round=1):
    state = pool.aggregator
    return Message(
        kind="query.void",
        header={
            "run_id": state.run_id,
            "manifest": state.manifest.to_json(),
            "attempt": attempt,
            "round": round,
            "advertisements": [envelope.to_json() for envelope in state.advertisements],
        },
    )


def test_a_forged_void_token_is_refused(agreed, opening, monkeypatch):
    """Without the check, a coordinator alone would start attempts at will."""
    pool = opening.before["end", ""]
    state = pool.aggregator
    header = headers.void_header(
        state.manifest,
        attempt=1,
        roster_hash=state.roster.digest(state.manifest),
        last_released=0,
        is_released=False,
    )
    sent = opening.messages["query.advertise", "a"]

    def again(token):
        return replace(sent, header={**sent.header, "attempt": 2, "void": token.to_json()})

    forged = again(seal(Identity.generate(), header))
    refused(at_site(pool, "a", forged), "signature of 'steward'")
    genuine = pool.identities[STEWARD]
    other_roster = replace(header, roster_hash="ab" * 32)
    refused(at_site(pool, "a", again(seal(genuine, other_roster))), "differs in roster_hash")
    old = replace(header, attempt=0)
    refused(at_site(pool, "a", again(seal(genuine, old))), "differs in attempt")
    far = replace(forged, header={**forged.header, "attempt": 4})
    refused(at_site(pool, "a", far), "one too many")
    after, _ = at_site(pool, "a", again(seal(genuine, header)))()
    assert after.ephemeral_key not in (b"", pool.sites["a"].ephemeral_key)
    assert (after.attempt, after.roster) == (2, None)
    monkeypatch.setattr(attempts, "open_envelope", lambda *_, **__: None)
    assert at_site(pool, "a", forged)()[0].attempt == 2


def test_nothing_is_decrypted_after_its_void_token(recorded, with_entries, monkeypatch):
    """Void, then decrypt after all: two totals over rosters of which one has one site less."""
    pool = recorded.pool
    state, _ = at_steward(pool, void_request(pool))()
    voided = replace(pool, steward=state)
    refused(at_steward(voided, recorded.decrypt), "attempt that is void")
    claims_next = with_entries(recorded.decrypt, attempt=2)
    refused(at_steward(voided, claims_next), "another attempt")
    monkeypatch.setattr(
        steward.StewardState, "attempt", property(lambda self: 1, lambda self, _: None)
    )
    _, reply = at_steward(voided, recorded.decrypt)()
    assert reply.blobs


def test_what_was_decrypted_cannot_be_void(recorded, monkeypatch):
    """Decrypt, then void and retry without one site: the difference is that site's value."""
    state, _ = at_steward(recorded.pool, recorded.decrypt)()
    pool = replace(recorded.pool, steward=state)
    refused(at_steward(pool, void_request(pool)), "was decrypted")
    refused(at_steward(recorded.pool, void_request(recorded.pool, attempt=2)), "not the present")
    forgetful = replace(pool, steward=replace(state, spent=()))
    assert at_steward(forgetful, void_request(pool))()[0].attempt == 2


def retry_without_c(pool, given):
    """c is missing: the steward voids the attempt, everybody joins the next; its first upload."""
    state, posts = aggregator.expire(replace(pool.aggregator, waiting=("c",)))
    return play(replace(pool, aggregator=state), posts, given, stop="query.upload")


@pytest.fixture(scope="module")
def twice_void(agreed, contributions, spec):
    """Round 1 is out; round 2 lost c twice: (run in the third attempt, the request to upload)."""
    pool, _ = agreed.sum(contributions)
    state, posts = aggregator.ask(pool.aggregator, specs=[spec])
    pool = replace(pool, aggregator=state)
    for post in posts[:2]:
        pool, reply = pool.deliver(post, contributions)
        state, _ = aggregator.receive(pool.aggregator, post.recipient, reply)
        pool = replace(pool, aggregator=state)
    pool, _, _ = retry_without_c(pool, contributions)
    return retry_without_c(pool, contributions)


def test_two_void_attempts_after_a_release_keep_its_marks(twice_void, contributions, with_entries):
    """Dropped, a site would upload a released round once more: new noise for an old number."""
    pool, upload, _ = twice_void
    assert upload.header["attempt"] == 3
    assert pool.sites["a"].uploaded == ((1, "gram"),)
    released = with_entries(upload, round=1)
    refused(at_site(pool, "a", released, contributions["a"]), "uploaded before")
    after, _ = at_site(pool, "a", upload, contributions["a"])()
    assert after.uploaded == ((1, "gram"), (2, "gram"))


def test_a_site_that_missed_an_attempt_keeps_the_marks_of_what_is_out(twice_void, contributions):
    """c, asleep since round 1, comes back with the token of an attempt that released nothing."""
    pool, _, _ = twice_void
    asleep = replace(pool.sites["c"], attempt=1, uploaded=((1, "gram"),))
    invitation = Message(
        kind="query.advertise",
        header={
            "run_id": "run",
            "attempt": 3,
            "manifest": pool.aggregator.manifest.to_json(),
            "void": pool.aggregator.void.to_json(),
        },
        blobs={"context": pool.aggregator.public_context},
    )
    woken = replace(pool, sites={**pool.sites, "c": asleep})
    assert at_site(woken, "c", invitation)()[0].uploaded == ((1, "gram"),)


def test_the_steward_voids_only_a_roster_that_it_is_shown(agreed, with_entries):
    """Told a hash, it would sign away rosters that never were."""
    request = void_request(agreed)
    one, two, three = request.header["advertisements"]
    for shown, reason in (
        ([], "fewer sites"),
        ([one, two], "fewer sites"),
        ([one, two, flipped(three)], "does not verify"),
        ([two, one, three], "roster order"),
    ):
        refused(at_steward(agreed, with_entries(request, advertisements=shown)), reason)
    refused(at_steward(agreed, with_entries(request, attempt=2)), "not the present")
    _, reply = at_steward(agreed, request)()
    roster = agreed.aggregator.roster.digest(agreed.aggregator.manifest)
    assert Envelope.from_json(reply.header["envelope"]).header.roster_hash == roster


def flipped(envelope):
    sealed = Envelope.from_json(envelope)
    broken = bytes([sealed.signature[0] ^ 1]) + sealed.signature[1:]
    return replace(sealed, signature=broken).to_json()


def test_rounds_that_are_decrypted_out_of_order_stay_marked(recorded, monkeypatch):
    """The token names the newest round that is out, not the one that was asked for last."""
    state = replace(recorded.pool.steward, spent=((5, "gram"), (3, "gram")))
    pool = replace(recorded.pool, steward=state)
    _, reply = at_steward(pool, void_request(pool, round=6))()
    assert Envelope.from_json(reply.header["envelope"]).header.round == 5


def test_the_steward_is_asked_twice(recorded, monkeypatch):
    state, _ = at_steward(recorded.pool, recorded.decrypt)()
    pool = replace(recorded.pool, steward=state)
    refused(at_steward(pool, recorded.decrypt), "decrypted before")
    forgetful = replace(pool, steward=replace(state, spent=()))
    assert at_steward(forgetful, recorded.decrypt)()[1].blobs


def test_sites_leave_a_void_attempt_with_fresh_keys_and_forget_its_roster(retried):
    pool, _, replies = retried
    keys = [
        Envelope.from_json(reply.header["envelope"]).header.key
        for who, reply in replies
        if who == "a" and reply.kind == "query.advertise"
    ]
    assert (pool.aggregator.attempt, pool.aggregator.members) == (2, ("a", "b", "c"))
    assert len(set(keys)) == len(keys) == 1
    for name in "abc":
        own = pool.sites[name]
        assert own.attempt == 2
        assert [(e.attempt, set(e.members)) for e in own.released] == [(2, {"a", "b", "c"})]


# Pads.


def test_a_pad_is_never_used_twice(padded, contributions, monkeypatch):
    """The same vector twice under one pad would show that nothing changed, and more."""
    pool, spec = padded, contributions["a"]["gram"][0]

    def hidden_words(round):
        _, posts = aggregator.ask(replace(pool.aggregator, round=round - 1), specs=[spec])
        _, reply = at_site(pool, "a", posts[0].message, contributions["a"])()
        scheme = steward.BfvScheme()
        return scheme.decrypt(
            pool.steward.secret_context, reply.blobs["ciphertext/gram"], length=8
        )

    assert (hidden_words(1) != hidden_words(2)).all()
    monkeypatch.setattr(contribution, "fresh_seed", lambda: bytes(32))
    assert (hidden_words(1) == hidden_words(2)).all()


def test_a_statistic_is_padded_and_uploaded_once(padded, recorded_pads, contributions):
    request = recorded_pads.messages["query.upload", "a"]
    state, _ = at_site(padded, "a", request, contributions["a"])()
    again = replace(padded, sites={**padded.sites, "a": state})
    refused(at_site(again, "a", request, contributions["a"]), "uploaded before")
    forgetful = replace(padded, sites={**padded.sites, "a": replace(state, uploaded=())})
    assert at_site(forgetful, "a", request, contributions["a"])()[1].blobs


def test_a_seed_sealed_to_the_wrong_steward_or_for_something_else_stays_shut(
    recorded_pads, with_entries, monkeypatch
):
    pool, message = (
        recorded_pads.before["query.pads", SECOND_STEWARD],
        recorded_pads.messages["query.pads", SECOND_STEWARD],
    )
    manifest, name = pool.aggregator.manifest, headers.forwarded_seed_blob("gram", "a")
    spec = pool.aggregator.pending.specs[0]
    context = PadContext(
        run_id="run",
        manifest=manifest.digest(),
        kind="query.upload",
        round=1,
        statistic=spec.digest(),
        site="a",
    )
    stranger = X25519PrivateKey.generate()
    own = bytes.fromhex(manifest.pad_key)
    wrong_key = seal_seed(bytes(32), stranger.public_key().public_bytes_raw(), context)
    wrong_use = seal_seed(bytes(32), own, replace(context, round=2))
    for sealed in (wrong_key, wrong_use):
        signed = resigned(pool, message, sealed)
        attack = with_entries(message, {name: sealed}, seeds=signed)
        refused(at_second(pool, attack), "does not open")
    with pytest.raises(ProtocolError):
        open_seed(wrong_key[:-1], stranger, context)
    monkeypatch.setattr(second_steward, "open_seed", lambda *_: bytes(32))
    assert at_second(pool, attack)()[1].blobs


def resigned(pool, message, sealed):
    """Site a signs another sealed seed for the same upload."""
    seeds = {n: dict(entries) for n, entries in message.header["seeds"].items()}
    header = Envelope.from_json(seeds["gram"]["a"]).header
    seeds["gram"]["a"] = seal(pool.identities["a"], header, sealed).to_json()
    return seeds


def test_the_second_steward_acts_for_one_roster(contributions, spec, monkeypatch):
    """Pads of {a,b,c,d} and of {a,b,c} would show d; one of them is all there is."""
    names = ("a", "b", "c", "d")
    given = dict.fromkeys(names, contributions["a"])
    pool = SecureSum.open(names, run_id="pads", mode="two-steward")
    pool, message, _ = play_round(pool, given, spec, stop="query.pads")
    fewer = replace(message, header={**message.header, "sites": ["a", "b", "c"]})
    state, _ = at_second(pool, message)()
    spent = replace(pool, second_steward=state)
    for again in (message, fewer):
        refused(at_second(spent, again), "added before")
    forgetful = replace(pool, second_steward=replace(state, spent=()))
    refused(at_second(forgetful, fewer), "fewer than 3 sites")
    monkeypatch.setattr(second_steward, "check_atoms", lambda *_, **__: None)
    assert at_second(forgetful, fewer)()[1].blobs


def test_the_steward_decrypts_for_the_roster_of_the_pads_only(contributions, spec, monkeypatch):
    """Uploads of four sites with the pads of three: padded noise, and refused as such."""
    names = ("a", "b", "c", "d")
    given = dict.fromkeys(names, contributions["a"])
    pool = SecureSum.open(names, run_id="pads", mode="two-steward")
    pool, message, _ = play_round(pool, given, spec, stop="query.pads")
    fewer = replace(message, header={**message.header, "sites": ["a", "b", "c"]})
    _, pads = at_second(pool, fewer)()
    _, attack = passing_on.decrypt_request(pool.aggregator, pads)
    refused(at_steward(pool, attack), "differs in roster_hash")
    monkeypatch.setattr(collecting, "open_envelope", trusting_header)
    refused(at_steward(pool, attack), "public range")


def test_a_seed_and_a_ciphertext_of_two_uploads_are_never_combined(
    padded, recorded_pads, contributions, with_entries, monkeypatch
):
    """A site restored from a backup signs twice: half of one and half of the other is refused."""
    request = recorded_pads.messages["query.upload", "a"]
    _, first = at_site(padded, "a", request, contributions["a"])()
    _, second = at_site(padded, "a", request, contributions["a"])()
    mixed = with_entries(
        first, {"seed/gram": second.blobs["seed/gram"]}, seeds=second.header["seeds"]
    )
    state = recorded_pads.before["query.upload", "a"].aggregator
    refused(lambda note: aggregator.receive(state, "a", mixed, on_refusal=note), "differs in key")
    monkeypatch.setattr(passing_on, "_check_seed", lambda *_: None)
    assert "a" in aggregator.receive(state, "a", mixed)[0].seeds


def test_a_padded_vector_is_uniform_without_its_seed():
    """Null hypothesis: the words' highest bytes are uniform. One value, 40,000 times; 1e-9."""

    def p_value(words):
        counts = np.bincount((words >> np.uint64(56)).astype(int), minlength=256)
        expected = words.size / 256
        return chi2.sf(((counts - expected) ** 2 / expected).sum(), 255)

    words = np.full(40_000, 7, dtype=np.uint64)
    assert p_value(words) < 1e-9
    mask_words(words, np.random.default_rng(0).bytes(32), 1)
    assert p_value(words) > 1e-9
