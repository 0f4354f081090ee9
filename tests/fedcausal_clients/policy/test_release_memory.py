import numpy as np
import pytest

from fedcausal_clients.data.survey import Survey
from fedcausal_clients.policy.release_memory import (
    MEMORY_FILE,
    ReleaseNote,
    load_memory,
    save_memory,
    site_secret,
)
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.disclosure.row_sketch import ColumnSketch, column_key
from fedcausal_privacy.errors import ProtocolError

ROSTER = ("north", "south", "west")
NOTE = ReleaseNote(study="s", statistic="gram-1", roster=ROSTER, numbers=30)
ROWS = np.random.default_rng(3).normal(size=2000)


@pytest.fixture
def store(tmp_path):
    return StateStore.open(tmp_path / "state")


@pytest.fixture
def look(store):
    secret = site_secret(store)

    def at(values, *names):
        columns = {
            name: ColumnSketch.empty().add(np.asarray(values), column_key(secret, name))
            for name in names or ("age:0",)
        }
        return Survey(num_rows=len(values), columns=columns)

    return at


def test_a_memory_survives_a_restart(store, look):
    memory = load_memory(store).with_release(look(ROWS), NOTE)
    save_memory(store, memory)
    again = load_memory(store)
    assert list(again.related(look(ROWS))) == [NOTE]
    assert [changed for _, _, changed in again.changes(look(ROWS))] == [0.0]
    assert str(ROWS[0])[:8].encode() not in store.read(MEMORY_FILE)


def test_the_same_release_is_remembered_once(store, look):
    memory = load_memory(store).with_release(look(ROWS), NOTE).with_release(look(ROWS), NOTE)
    assert len(memory.looks) == 1
    assert memory.looks[0].notes == (NOTE,)


def test_changed_rows_are_another_look_and_their_releases_still_count(store, look):
    memory = load_memory(store).with_release(look(ROWS), NOTE)
    later = look(ROWS[100:])
    assert list(memory.related(later)) == [NOTE]
    assert len(memory.with_release(later, NOTE).looks) == 2


def test_other_rows_have_a_past_of_their_own(store, look):
    memory = load_memory(store).with_release(look(ROWS), NOTE)
    assert list(memory.related(look(ROWS + 1.0))) == []


def test_other_columns_of_the_same_rows_join_through_a_common_one(store, look):
    memory = load_memory(store).with_release(look(ROWS, "age:0", "dose:0"), NOTE)
    assert list(memory.related(look(ROWS, "dose:0", "sex:0"))) == [NOTE]
    assert list(memory.related(look(ROWS, "sex:0"))) == []
    memory = memory.with_release(look(ROWS, "dose:0", "sex:0"), NOTE)
    assert len(memory.looks) == 1
    assert list(memory.related(look(ROWS, "sex:0"))) == [NOTE]


def test_each_site_of_a_roster_has_a_part_of_the_numbers():
    assert NOTE.share == 10.0


@pytest.mark.parametrize("content", [b"[", b'[{"num_rows": 3}]', b"[3]"])
def test_a_broken_memory_is_an_error_and_never_an_empty_one(store, content):
    store.write(MEMORY_FILE, content)
    with pytest.raises(ProtocolError, match="cannot be read"):
        load_memory(store)
