import time
from pathlib import Path

import flwr.supernode.fleet_http_connection as connection
import flwr.supernode.start_client_internal as flower
import httpx
import pytest
from flwr.common.config import parse_config_args
from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

from fedcausal.errors import InputError
from fedcausal_clients.daemon.home import create_party_home, write_coordinator
from fedcausal_clients.daemon.supernode import outlive_cuts, poll_every, supernode_arguments
from fedcausal_privacy.keys.enrolment import Invitation

INVITATION = Invitation(
    address="h:1", authority="pem", name="north", role="site", token="t", expires=1.0
)


@pytest.mark.parametrize("name", ["north", 'a "quoted" \\ folder'])
def test_flower_takes_our_options(tmp_path, name):
    home = tmp_path / name
    create_party_home(home, name="north", role="site", data="rows.csv")
    write_coordinator(home, INVITATION)
    arguments = supernode_arguments(home, port=5, secret=Path("/s"))
    parsed = _parse_args_run_supernode().parse_args(arguments)
    assert (parsed.superlink, parsed.isolation, parsed.port) == ("h:1", "process", 5)
    assert not parsed.insecure
    assert not parsed.runtime_dependency_install
    assert parse_config_args([parsed.node_config]) == {"home": str(home)}


def test_a_folder_that_flower_cannot_be_told_is_refused(tmp_path):
    home = tmp_path / "it's"
    create_party_home(home, name="north", role="site", data="rows.csv")
    write_coordinator(home, INVITATION)
    with pytest.raises(InputError, match="rename it"):
        supernode_arguments(home, port=5, secret=Path("/s"))


def test_flower_pauses_no_longer_than_we_say(monkeypatch):
    assert flower.time is time
    monkeypatch.setattr(flower, "time", time)
    poll_every(0.01)
    started = time.monotonic()
    flower.time.sleep(3)
    assert time.monotonic() - started < 2


CUT = "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)"
WRONG = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)"


def test_a_cut_handshake_is_tried_again_and_a_wrong_certificate_is_not(monkeypatch):
    make = connection.make_simple_http_retry_invoker
    cut, wrong = httpx.ConnectError(CUT), httpx.ConnectError(WRONG)
    # What is replaced is there, and Flower itself gives up at both.
    assert make().should_giveup(cut)
    monkeypatch.setattr(connection, "make_simple_http_retry_invoker", make)
    outlive_cuts()
    found = connection.make_simple_http_retry_invoker()
    assert not found.should_giveup(cut)
    assert found.should_giveup(wrong)
    assert not found.should_giveup(httpx.ConnectError("[Errno 104] Connection reset by peer"))
