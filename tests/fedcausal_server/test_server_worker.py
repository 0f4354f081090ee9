from importlib import import_module

import pytest

from fedcausal.daemons.bundle import thin_bundle, thin_bundle_hash
from fedcausal.errors import ProtocolError
from fedcausal_server.server_worker import pinned_install, server_loop


def test_flower_has_what_the_worker_replaces():
    assert callable(import_module("flwr.superlink.runtime.run_serverapp").install_from_fab)


def test_only_the_pinned_bundle_is_installed():
    installed = []
    install = pinned_install(lambda fab, **options: installed.append(fab), thin_bundle_hash())
    install(thin_bundle(), skip_prompt=True)
    with pytest.raises(ProtocolError, match="bundle"):
        install(thin_bundle() + b" ", skip_prompt=True)
    assert installed == [thin_bundle()]


def test_nobody_to_ask_is_no_task(coordinator_home):
    assert server_loop(coordinator_home, poll_seconds=0.01).acquire() is None
