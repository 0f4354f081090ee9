"""A stored secret opens with its own key, for its own run and context, and unchanged."""

import pytest

from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.keys.at_rest import open_at_rest, seal_at_rest, storage_key
from fedcausal_privacy.keys.identity import Identity

KEY = bytes(range(32))
BOUND = {"run_id": "r1", "context_sha256": "ab" * 32}


def test_there_and_back_and_never_the_same_bytes_twice():
    one, other = (seal_at_rest(KEY, b"secret", **BOUND) for _ in range(2))
    assert open_at_rest(KEY, one, **BOUND) == open_at_rest(KEY, other, **BOUND) == b"secret"
    assert one != other
    assert b"secret" not in one


@pytest.mark.parametrize(
    ("key", "change"),
    [
        (bytes(32), {}),
        (KEY, {"run_id": "r2"}),
        (KEY, {"context_sha256": "cd" * 32}),
    ],
)
def test_another_key_run_or_context_does_not_open_it(key, change):
    sealed = seal_at_rest(KEY, b"secret", **BOUND)
    with pytest.raises(ProtocolError):
        open_at_rest(key, sealed, **{**BOUND, **change})


def test_every_changed_byte_and_every_cut_is_refused():
    sealed = seal_at_rest(KEY, b"secret", **BOUND)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        for content in (bytes(changed), sealed[:place]):
            with pytest.raises(ProtocolError):
                open_at_rest(KEY, content, **BOUND)


def test_the_storage_key_belongs_to_the_identity():
    identity = Identity.generate()
    assert storage_key(identity) == storage_key(identity)
    assert len(storage_key(identity)) == 32
    assert storage_key(identity) != storage_key(Identity.generate())
    assert storage_key(identity) != identity.private_key.private_bytes_raw()
