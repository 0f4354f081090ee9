"""`fedcausal doctor`: an honest look at this machine."""

from datetime import UTC, datetime

import pytest

from fedcausal.commands import doctor


def test_every_check_is_listed(ask):
    said = ask("doctor")
    assert said.code == 0
    for check in ("python", "flwr", "encryption", "disk"):
        assert check in said.out
    findings = ask("doctor", "--format", "json").answer["data"]["findings"]
    assert {f["status"] for f in findings} <= {"ok", "warning"}
    assert len(findings) == len(doctor.examine())


def test_quiet_shows_only_what_needs_care(ask, monkeypatch):
    for name, value in doctor.FLOWER_SWITCHES.items():
        monkeypatch.setenv(name, value)
    assert ask("doctor", "--quiet").out == ""


@pytest.mark.parametrize(
    ("package", "lowest", "detail"),
    [("no-such-package", (1, 0), "not installed; needs >= 1.0"), ("numpy", (99, 0), ">= 99.0")],
)
def test_what_is_missing_or_old_fails(ask, monkeypatch, package, lowest, detail):
    monkeypatch.setattr(doctor, "PACKAGES", {package: lowest})
    said = ask("doctor", "--quiet")
    assert said.code == 1
    assert detail in said.out


def test_a_clock_before_this_version_was_made(ask, monkeypatch):
    monkeypatch.setattr(doctor, "RELEASED", datetime(9999, 1, 1, tzinfo=UTC))
    said = ask("doctor", "--quiet")
    assert said.code == 1
    assert "set the clock" in said.out
