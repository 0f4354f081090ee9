import json
from dataclasses import replace

import pytest

from fedcausal_privacy.errors import InputError, ProtocolError
from fedcausal_privacy.keys.certificates import make_node_key, node_public_key
from fedcausal_privacy.keys.enrolment import (
    Enrolment,
    EnrolmentBook,
    Invitation,
    JoinRequest,
    request_to_join,
)
from fedcausal_privacy.keys.identity import Identity
from fedcausal_privacy.keys.known_keys import rotate

INVITATION = Invitation(
    address="127.0.0.1:8000",
    authority="-----BEGIN CERTIFICATE-----",
    name="north",
    role="site",
    token="one time",
    expires=100.0,
)
IDENTITY = Identity.generate()
NODE_KEY = node_public_key(make_node_key())
REQUEST = request_to_join(INVITATION, IDENTITY, NODE_KEY)


def invited():
    return EnrolmentBook.empty().invite("north", "site", token="one time", expires=100.0)


def test_a_party_is_invited_joins_and_is_confirmed():
    book = invited().join(JoinRequest.from_bytes(REQUEST.to_bytes()), now=99.0)
    assert book.enrolled() == ()
    book = book.confirm("north", IDENTITY.fingerprint())
    (party,) = book.enrolled()
    assert (party.name, party.identity, party.node_key) == ("north", IDENTITY.public, NODE_KEY)
    assert EnrolmentBook.from_bytes(book.to_bytes()) == book


def test_a_token_works_once():
    book = invited().join(REQUEST, now=1.0)
    with pytest.raises(ProtocolError, match="used"):
        book.join(REQUEST, now=2.0)


@pytest.mark.parametrize(
    ("request_", "now"),
    [
        (REQUEST, 100.0),
        (request_to_join(replace(INVITATION, token="guess"), IDENTITY, NODE_KEY), 1.0),
        (request_to_join(replace(INVITATION, name="south"), IDENTITY, NODE_KEY), 1.0),
    ],
    ids=["too late", "another token", "another name"],
)
def test_all_refusals_say_the_same(request_, now):
    with pytest.raises(ProtocolError, match="unknown, used or expired"):
        invited().join(request_, now=now)


def test_a_key_enrols_one_party():
    book = invited().join(REQUEST, now=1.0)
    book = book.invite("south", "site", token="other", expires=100.0)
    again = request_to_join(replace(INVITATION, name="south", token="other"), IDENTITY, NODE_KEY)
    with pytest.raises(ProtocolError):
        book.join(again, now=1.0)


@pytest.mark.parametrize("field", ["name", "token", "identity", "node_key", "signature"])
def test_a_request_that_was_touched_is_refused(field):
    value = json.loads(REQUEST.to_bytes())
    other = {"identity": Identity.generate().public, "node_key": node_public_key(make_node_key())}
    value[field] = other.get(field, "0" * len(value[field]))
    with pytest.raises(ProtocolError):
        JoinRequest.from_bytes(json.dumps(value).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"name": 1}', b"\xff"])
def test_nonsense_is_refused(content):
    with pytest.raises(ProtocolError):
        JoinRequest.from_bytes(content)
    with pytest.raises(InputError):
        Invitation.from_bytes(content)
    if content != b"[]":
        with pytest.raises(InputError):
            EnrolmentBook.from_bytes(content)


def test_only_the_compared_fingerprint_is_accepted():
    book = invited()
    with pytest.raises(InputError, match="has not joined"):
        book.confirm("north", IDENTITY.fingerprint())
    book = book.join(REQUEST, now=1.0)
    with pytest.raises(InputError, match="another fingerprint"):
        book.confirm("north", Identity.generate().fingerprint())


def test_the_book_holds_no_token():
    assert b"one time" not in invited().to_bytes()


def test_an_answered_invitation_is_not_replaced():
    assert invited().invite("north", "site", token="t", expires=1.0).enrolments["north"].expires
    with pytest.raises(InputError, match="has joined already"):
        invited().join(REQUEST, now=1.0).invite("north", "site", token="t", expires=1.0)
    gone = invited().join(REQUEST, now=1.0).remove("north")
    assert gone == EnrolmentBook.empty()
    with pytest.raises(InputError, match="nobody"):
        gone.remove("north")


@pytest.mark.parametrize(("name", "role"), [("a b", "site"), ("", "site"), ("a", "king")])
def test_names_and_roles_are_checked(name, role):
    with pytest.raises(InputError):
        EnrolmentBook.empty().invite(name, role, token="t", expires=1.0)


def test_an_invitation_travels_as_a_file():
    assert Invitation.from_bytes(INVITATION.to_bytes()) == INVITATION


def test_a_fresh_identity_that_the_old_one_signed_takes_its_place():
    fresh, stranger = Identity.generate(), Identity.generate()
    statement = rotate("north", IDENTITY, fresh)
    with pytest.raises(InputError, match="nobody here"):
        invited().rotate(statement)
    book = invited().join(REQUEST, now=1.0).confirm("north", IDENTITY.fingerprint())
    (party,) = book.rotate(statement).enrolled()
    assert (party.identity, party.node_key) == (fresh.public, NODE_KEY)
    with pytest.raises(InputError, match="the file replaces"):
        book.rotate(statement).rotate(statement)
    with pytest.raises(InputError, match="the file replaces"):
        book.rotate(rotate("north", stranger, fresh))
    other = Enrolment(name="south", role="site", state="joined", identity=fresh.public)
    both = EnrolmentBook(enrolments={**book.enrolments, "south": other})
    with pytest.raises(InputError, match="another party has"):
        both.rotate(statement)
    with pytest.raises(InputError, match="nobody here"):
        book.revoke("north").rotate(statement)
