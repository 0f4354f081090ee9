import getpass
import platform
import socket
from importlib.metadata import version

from fedcausal.report.run_card import run_card


def test_versions_are_those_installed():
    card = run_card(["numpy", "no-such-package-here"])
    assert card["numpy"] == version("numpy")
    assert card["python"] == platform.python_version()
    assert "no-such-package-here" not in card


def test_nothing_names_the_host_the_user_or_a_path():
    text = " ".join(run_card().values())
    assert socket.gethostname() not in text
    assert getpass.getuser() not in text.split()
    assert "/" not in text
