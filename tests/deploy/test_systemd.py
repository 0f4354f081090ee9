"""The units: what systemd itself says of their exposure, and the rules that keep them running."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).resolve().parents[2] / "deploy/systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
HIGHEST_EXPOSURE = 3.0


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_the_exposure_is_low(path):
    if ANALYZE is None:
        pytest.skip(
            "there is no systemd-analyze on this machine (Debian: apt-get install systemd)"
        )
    found = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = float(re.search(r"exposure level for \S+: ([0-9.]+)", found.stdout)[1])
    assert exposure <= HIGHEST_EXPOSURE, found.stdout


def service(path):
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(path.read_text())
    return parser["Service"], parser["Unit"]


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_a_daemon_is_started_again_for_ever_but_not_on_a_wrong_file(path):
    section, unit = service(path)
    assert section["Restart"] == "always"
    assert int(section["RestartSec"]) >= 20
    assert section["RestartPreventExitStatus"] == "4"
    assert unit["StartLimitIntervalSec"] == "0"
    assert section["User"] != "root"
    assert section["ProtectSystem"] == "strict"
    assert section["CapabilityBoundingSet"] == ""


def test_a_site_reads_its_data_only():
    section, _ = service(next(path for path in UNITS if "site" in path.name))
    assert section["ReadOnlyPaths"] == "-/srv/data"
    assert section["ReadWritePaths"] == "/srv/fedcausal/%i"
