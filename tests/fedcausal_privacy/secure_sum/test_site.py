"""The site: what it agrees to, what it sends, and that it never sends twice."""

from dataclasses import replace

import numpy as np
import pytest
import tenseal

from fedcausal_privacy.canonical import sha256_hex
from fedcausal_privacy.envelopes import Envelope, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator, headers, site
from fedcausal_privacy.secure_sum.bfv import PLAIN_MODULUS, BfvScheme
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.statistic_spec import StatisticSpec

STUDY = "0" * 64


@pytest.fixture(scope="module")
def invitation(agreed):
    """The advertise message of a run, with the identities behind it."""
    manifest = agreed.aggregator.manifest
    hello = headers.hello_header(
        run_id="run",
        sender="steward",
        identity=agreed.identities["steward"].public,
        he_sha256=manifest.he_sha256,
    )
    context = agreed.aggregator.public_context
    return Message(
        kind="query.advertise",
        header={
            "run_id": manifest.run_id,
            "attempt": 1,
            "manifest": manifest.to_json(),
            "steward": seal(agreed.identities["steward"], hello, context).to_json(),
        },
        blobs={"context": context},
    )


def answer(pool, message, state=None, **more):
    state = state or site.begin(name="a", study_hash=STUDY)
    return site.step(state, message, identity=pool.identities["a"], **more)


def test_the_invitation_is_accepted_and_repeats_itself(agreed, invitation):
    state, reply = answer(agreed, invitation)
    again, same = answer(agreed, invitation, state)
    assert (again, same) == (state, reply)
    assert state.manifest == agreed.aggregator.manifest
    assert state.ephemeral_key.hex() not in repr(state) + repr(reply)


def test_every_run_has_its_own_ephemeral_key(agreed, invitation):
    assert (
        answer(agreed, invitation)[0].ephemeral_key != answer(agreed, invitation)[0].ephemeral_key
    )


def test_the_manifest_cannot_ask_for_fewer_sites_than_the_study():
    """The steward's rule on rosters reads the manifest's `k_min`."""
    names, reasons = ("a", "b", "c", "d", "e"), []
    pool = SecureSum.open(names, run_id="run", k_min=3)
    state = site.begin(name="a", study_hash=STUDY, min_sites=5)
    message = Message(
        kind="query.advertise",
        header={"run_id": "run", "attempt": 1, "manifest": pool.aggregator.manifest.to_json()},
        blobs={"context": pool.aggregator.public_context},
    )
    with pytest.raises(ProtocolError):
        answer(pool, message, state, on_refusal=reasons.append)
    assert "k_min" in reasons[0]


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        ({"study_hash": "1" * 64}, "not approve"),
        ({"name": "z"}, "not in the roster"),
        ({"name": "b"}, "not in the roster"),
        ({"min_sites": 4}, "fewer sites"),
        ({"trusted": {}}, "trusted"),
        ({"data_version": "2"}, "not in the roster"),
        ({"mode": "two-steward"}, "privacy.mode"),
    ],
)
def test_an_invitation_against_the_site_is_refused(agreed, invitation, begin, reason):
    state = site.begin(**{"name": "a", "study_hash": STUDY, **begin})
    reasons = []
    with pytest.raises(ProtocolError, match="refused"):
        answer(agreed, invitation, state, on_refusal=reasons.append)
    assert reason in reasons[0]


def test_trusted_identities_admit_exactly_themselves(agreed, invitation):
    names = ("a", "b", "c", "steward")
    known = {name: agreed.identities[name].public for name in names}
    state = site.begin(name="a", study_hash=STUDY, trusted=known, mode="masked")
    assert answer(agreed, invitation, state)[0].manifest is not None
    for name in known:
        changed = {**known, name: Identity.generate().public}
        with pytest.raises(ProtocolError):
            answer(agreed, invitation, replace(state, trusted=changed))


def with_context(pool, message, context, signer, change, manifest_too=True):
    manifest = pool.aggregator.manifest
    if manifest_too:
        manifest = replace(manifest, he_sha256=sha256_hex(context))
    hello = headers.hello_header(
        run_id="run",
        sender="steward",
        identity=manifest.steward.identity,
        he_sha256=sha256_hex(context),
    )
    envelope = seal(signer, hello, context).to_json()
    return change(message, {"context": context}, manifest=manifest.to_json(), steward=envelope)


def test_a_context_of_other_parameters_is_refused_though_signed(agreed, invitation, with_entries):
    weak = tenseal.context(
        tenseal.SCHEME_TYPE.BFV, 8192, plain_modulus=PLAIN_MODULUS, coeff_mod_bit_sizes=[60, 49]
    ).serialize(
        save_public_key=True, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )
    message = with_context(agreed, invitation, weak, agreed.identities["steward"], with_entries)
    reasons = []
    with pytest.raises(ProtocolError, match="refused"):
        answer(agreed, message, on_refusal=reasons.append)
    assert "allow-list" in reasons[0]


def test_a_context_that_is_not_the_stewards_is_refused(agreed, invitation, with_entries):
    own, _ = BfvScheme().generate_keys()
    reasons = []
    for signer, manifest_too in [
        (Identity.generate(), True),
        (agreed.identities["steward"], False),
    ]:
        message = with_context(agreed, invitation, own, signer, with_entries, manifest_too)
        with pytest.raises(ProtocolError, match="refused"):
            answer(agreed, message, on_refusal=reasons.append)
    assert "signature" in reasons[0]
    assert "not the manifest's" in reasons[1]


def test_a_second_manifest_or_attempt_is_refused(agreed, invitation, with_entries):
    state, _ = answer(agreed, invitation)
    manifest = agreed.aggregator.manifest
    for changed, expected in (
        ({"manifest": replace(manifest, study_hash="e" * 64).to_json()}, "a second manifest"),
        ({"manifest": replace(manifest, run_id="other").to_json()}, "two runs"),
        ({"run_id": "other"}, "two runs"),
        ({"attempt": 2}, "envelope"),
    ):
        reasons, message = [], with_entries(invitation, **changed)
        with pytest.raises(ProtocolError) as error:
            answer(agreed, message, state, on_refusal=reasons.append)
        assert expected in f"{error.value} {reasons}"


def freeze_message(envelopes):
    return Message(
        kind="query.freeze", header={"advertisements": [e.to_json() for e in envelopes]}
    )


def advertisements(opening):
    sent = opening.messages["query.freeze", "a"].header["advertisements"]
    return tuple(Envelope.from_json(envelope) for envelope in sent)


@pytest.fixture(scope="module")
def agreed(opening):
    """The run of which `opening` is the record."""
    return opening.before["end", ""]


@pytest.fixture(scope="module")
def request_message(agreed, recording, contributions):
    return recording(agreed, contributions).messages["query.upload", "a"]


def test_the_freeze_wants_every_site_once_signed_and_the_own_key(agreed, opening):
    state, own = agreed.sites["a"], advertisements(opening)
    forged = headers.advertise_header(state.manifest, attempt=1, site="b", key="ab" * 32)
    exchanged = headers.advertise_header(state.manifest, attempt=1, site="a", key="ab" * 32)
    copied = headers.advertise_header(state.manifest, attempt=1, site="b", key=own[0].header.key)
    short = headers.advertise_header(state.manifest, attempt=1, site="b", key="ab")
    bad = [
        own[:2],
        own[::-1],
        (own[0], own[1], own[1]),
        (own[0], seal(Identity.generate(), forged), own[2]),
        (seal(agreed.identities["a"], exchanged), *own[1:]),
        (own[0], seal(agreed.identities["b"], copied), own[2]),
        (own[0], seal(agreed.identities["b"], short), own[2]),
        (own[0], seal(agreed.identities["b"], forged), own[2]),  # a second roster
    ]
    for envelopes in bad:
        with pytest.raises(ProtocolError):
            answer(agreed, freeze_message(envelopes), state)
    assert answer(agreed, freeze_message(own), state)[0] == state


def test_nothing_is_uploaded_before_every_site_signed_the_same_roster(
    agreed, request_message, contributions, with_entries
):
    state, signed = agreed.sites["a"], agreed.aggregator.freezes
    other = headers.freeze_header(state.manifest, attempt=1, site="b", roster_hash="ab" * 32)
    bad = [
        signed[:2],
        (signed[0], signed[2], signed[2]),
        (signed[0], seal(agreed.identities["b"], other), signed[2]),
        (signed[0], replace(signed[1], signature=bytes(64)), signed[2]),
    ]
    for freezes in bad:
        message = with_entries(request_message, freezes=[e.to_json() for e in freezes])
        with pytest.raises(ProtocolError):
            answer(agreed, message, state, contributions=contributions["a"])


def test_an_upload_happens_once(agreed, request_message, contributions):
    state, reply = answer(
        agreed, request_message, agreed.sites["a"], contributions=contributions["a"]
    )
    assert set(reply.blobs) == {"ciphertext/gram"}
    assert state.uploaded == ((1, "gram"),)
    for kind in headers.UPLOAD_KINDS:
        with pytest.raises(ProtocolError):
            answer(
                agreed,
                replace(request_message, kind=kind),
                state,
                contributions=contributions["a"],
            )


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "other"},
        {"attempt": 2},
        {"attempt": True},
        {"round": -1},
        {"round": "1"},
        {"statistics": {}},
        {"statistics": {"gram": "ab" * 32}},
        {"statistics": {"other": "ab" * 32}},
    ],
)
def test_a_request_that_differs_from_the_agreement_is_refused(
    agreed, request_message, contributions, with_entries, change
):
    with pytest.raises(ProtocolError):
        answer(
            agreed,
            with_entries(request_message, **change),
            agreed.sites["a"],
            contributions=contributions["a"],
        )


def asking(pool, spec):
    return aggregator.ask(pool.aggregator, specs=[spec])[1][0].message


def test_the_coordinator_cannot_lower_the_cell_rule(agreed, spec, contributions):
    lower = replace(spec, min_cell=0)
    message = asking(agreed, lower)
    with pytest.raises(ProtocolError):
        answer(agreed, message, agreed.sites["a"], contributions=contributions["a"])


def test_values_beyond_the_bound_and_sums_beyond_the_ring_do_not_leave(agreed, monkeypatch):
    monkeypatch.setattr(BfvScheme, "encrypt", None)  # nothing gets that far
    spec = StatisticSpec(name="big", length=1, bound=2**62)
    message = asking(agreed, spec)
    with pytest.raises(ProtocolError, match="63 bits"):
        answer(
            agreed,
            message,
            agreed.sites["a"],
            contributions={"big": (spec, np.array([1]))},
        )
    spec = StatisticSpec(name="big", length=1, bound=5)
    message = asking(agreed, spec)
    with pytest.raises(ProtocolError, match="bound"):
        answer(
            agreed,
            message,
            agreed.sites["a"],
            contributions={"big": (spec, np.array([6]))},
        )


def test_a_closed_or_young_run_answers_nothing(agreed, opening, request_message, contributions):
    closed = site.close(agreed.sites["a"])
    assert closed.ephemeral_key == b""
    for state in (closed, site.begin(name="a", study_hash=STUDY)):
        with pytest.raises(ProtocolError):
            answer(agreed, request_message, state, contributions=contributions["a"])
        with pytest.raises(ProtocolError):
            answer(agreed, freeze_message(advertisements(opening)), state)
    with pytest.raises(ProtocolError):
        answer(agreed, Message(kind="query.decrypt"))


def test_a_site_never_accepts_fewer_than_three():
    with pytest.raises(ProtocolError, match="min_sites"):
        site.begin(name="a", study_hash=STUDY, min_sites=2)


def test_requested_names_the_statistics(request_message, spec):
    assert site.requested(request_message) == {"gram": spec.digest()}


def test_a_total_is_over_the_frozen_roster_or_the_sites_that_are_named(
    agreed, padded, request_message, with_entries
):
    fewer = with_entries(request_message, sites=["c", "b", "b"])
    assert site.asked_sites(agreed.sites["a"], fewer) == ("a", "b", "c")
    assert site.asked_sites(padded.sites["a"], fewer) == ("b", "c")
