import pytest

from fedcausal.daemons.processes import held_folder
from fedcausal.errors import InputError
from fedcausal_server import coordinator
from fedcausal_server.coordinator import register_parties


def test_the_book_decides_who_is_let_in(coordinator_home, control, join):
    join("north")
    control.known["a key of nobody"] = 77
    register_parties(coordinator_home)
    (party,) = coordinator_home.book().enrolled()
    assert set(control.known) == {party.node_key}
    before = dict(control.known)
    register_parties(coordinator_home)
    assert control.known == before


def test_one_daemon_serves_a_home(coordinator_home):
    with held_folder(coordinator_home.state), pytest.raises(InputError, match="running"):
        coordinator.serve(coordinator_home, say=print)
