from datetime import UTC, datetime

import pytest

from fedcausal_privacy.errors import InputError
from fedcausal_privacy.keys.authority_key import is_locked, lock_key, unlock_key
from fedcausal_privacy.keys.certificates import make_authority, make_server_certificate

NOW = datetime(2026, 5, 1, tzinfo=UTC)
AUTHORITY, KEY = make_authority("n", now=NOW)


def test_a_key_opens_with_its_passphrase_alone():
    locked = lock_key(KEY, "four words of mine")
    assert is_locked(locked)
    assert not is_locked(KEY)
    assert KEY.splitlines()[1] not in locked
    assert unlock_key(locked, "four words of mine") == KEY
    for wrong in (None, "", "four words of mine "):
        with pytest.raises(InputError, match="passphrase"):
            unlock_key(locked, wrong)


def test_a_key_in_clear_needs_none():
    assert lock_key(KEY, None) == KEY
    assert unlock_key(KEY, "anything") == unlock_key(KEY, None) == KEY
    with pytest.raises(InputError, match="expected a private key"):
        unlock_key(AUTHORITY, None)
    with pytest.raises(InputError, match="empty"):
        lock_key(KEY, "")


def test_an_opened_key_signs():
    opened = unlock_key(lock_key(KEY, "p"), "p")
    assert make_server_certificate(AUTHORITY, opened, ["h"], now=NOW)
