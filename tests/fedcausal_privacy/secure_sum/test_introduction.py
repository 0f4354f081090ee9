"""The greeting: nobody speaks for another, and the manifest is what was signed."""

from dataclasses import replace

import pytest

from fedcausal_privacy.envelopes import ignore, seal
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.secure_sum import headers
from fedcausal_privacy.secure_sum.in_process import SecureSum
from fedcausal_privacy.secure_sum.introduction import checked


def greeted(opening, name):
    return opening.before["query.hello", name].aggregator, opening.replies["query.hello", name]


def test_names_keys_and_versions_are_the_signed_ones(opening, with_entries):
    state, reply = greeted(opening, "a")
    assert checked(state, "a", reply, ignore).name == "a"
    for change in ({"data_version": "2"}, {"envelope": None}):
        with pytest.raises(ProtocolError):
            checked(state, "a", with_entries(reply, **change), ignore)
    with pytest.raises(ProtocolError):
        checked(state, "b", reply, ignore)
    with pytest.raises(ProtocolError):
        checked(replace(state, run_id="other"), "a", reply, ignore)


def test_a_stewards_key_is_signed(opening, with_entries):
    state, reply = greeted(opening, "steward")
    assert checked(state, "steward", reply, ignore).data_version == ""
    changed = with_entries(reply, {"context": reply.blobs["context"] + b"0"})
    with pytest.raises(ProtocolError):
        checked(state, "steward", changed, ignore)
    identity = opening.before["end", ""].identities["a"]
    header = headers.hello_header(run_id="run", sender="steward", identity=identity.public)
    unnamed = with_entries(reply, envelope=seal(identity, header, b"").to_json())
    with pytest.raises(ProtocolError):
        checked(state, "steward", unnamed, ignore)


def test_the_manifest_has_the_mode_and_the_second_steward():
    for mode in ("masked", "two-steward"):
        manifest = SecureSum.open("abc", mode=mode).aggregator.manifest
        assert manifest.mode == mode
        assert (manifest.second_steward is None) == (mode == "masked")
