from contextlib import closing

import pytest

from fedcausal.errors import InputError, StorageError
from fedcausal_server.store.postgresql_store import PostgresStore, check_store_url
from tests.fedcausal_clients.conftest import postgresql  # noqa: F401 - a fixture


@pytest.fixture
def url(postgresql, tmp_path):  # noqa: F811
    """A database of the coordinator's own, with its password in a file."""
    with postgresql.connect("postgres") as connection:
        connection.execute("DROP DATABASE IF EXISTS studies")
        connection.execute("CREATE DATABASE studies")
    passfile = tmp_path / "passfile"
    passfile.write_text(f"*:*:*:owner:{postgresql.password}\n")
    passfile.chmod(0o600)
    return f"postgresql://owner@/studies?host={postgresql.folder}&passfile={passfile}"


class Broken(dict):
    def items(self):
        yield "a", b"new"
        raise KeyboardInterrupt


def test_entries_of_a_run_are_durable_whole_and_its_own(url, postgresql):  # noqa: F811
    with closing(PostgresStore(url, "one")) as store, closing(PostgresStore(url, "two")) as other:
        store.commit({"b/2": b"two", "b/1": bytes(range(256)), "a": b""})
        other.commit({"a": b"other"})
        assert store.keys("b/") == ("b/1", "b/2")
        assert store.keys("%") == ()
        assert (store.read("a"), store.read("b/1")) == (b"", bytes(range(256)))
        store.commit({"b/2": None, "a": b"new"})
        with pytest.raises(KeyboardInterrupt):
            store.commit(Broken(a=b""))
        assert (store.keys(""), store.read("a")) == (("a", "b/1"), b"new")
        setting = store._connection.execute("SHOW synchronous_commit").fetchone()
        assert setting == ("on",)
        with pytest.raises(StorageError, match="another process works on run 'one'"):
            PostgresStore(url, "one")
    with closing(PostgresStore(url, "one")) as again:
        assert again.read("a") == b"new"
        with postgresql.connect("studies") as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'fedcausal'"
            )
        with pytest.raises(StorageError, match="was written before is kept"):
            again.commit({"a": b"lost"})
    with closing(PostgresStore(url, "one")) as again:
        assert again.read("a") == b"new"


def test_a_server_that_is_not_there_is_told_without_its_address(tmp_path):
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        PostgresStore(f"postgresql://owner@/studies?host={tmp_path}", "one")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///x", "expected postgresql://"),
        ("study.db", "expected postgresql://"),
        ("postgresql://me:secret@host/db", "passfile"),
        ("postgresql://me@host/db?password=secret", "passfile"),
        ("postgresql://[broken/db", "cannot be read"),
    ],
)
def test_addresses_that_are_refused(url, words):
    with pytest.raises(InputError, match=words) as caught:
        check_store_url(url)
    assert "secret" not in str(caught.value)
