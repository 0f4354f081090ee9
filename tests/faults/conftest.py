"""A coordinator with a clock of its own, and a workspace of sites that can be killed."""

import pytest

from fedcausal.statistics import registry
from fedcausal_server import secure_rounds
from fedcausal_server.transport import link, mailbox, outage
from tests.faults.mortal_sites import FOUR, Clock, Place, Rows


@pytest.fixture
def clock(monkeypatch):
    """The coordinator's clock: nobody really waits, and no load makes it late."""
    made = Clock()
    for module in (link, mailbox, outage, secure_rounds):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "KINDS", {"rows": Rows()})

    def made(study, sites=FOUR):
        return Place(tmp_path, study, sites)

    return made
