"""Every command that a manual or a unit types exists, with the options that it is given."""

import re
from pathlib import Path

import click
import pytest
import yaml

from tests.deploy.command_lines import fault_in, fenced_commands, shell_commands

ROOT = Path(__file__).resolve().parents[2]
MANUALS = (
    "clients/README.md",
    "server/README.md",
    "deploy/README.md",
    "deploy/flwr-app/README.md",
)


def manual_lines():
    for name in MANUALS:
        for line in fenced_commands((ROOT / name).read_text(encoding="utf-8")):
            yield name, line


def comment_lines(name):
    """Commands in the comments at the head of a file, continuations joined."""
    lines = [line[1:] for line in (ROOT / name).read_text().splitlines() if line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    for line in joined.splitlines():
        if "docker compose" in line and re.search(r" run .* (coordinator|site)  *\w", line):
            # `docker compose run SERVICE ARGUMENTS`: the image's entry point is fedcausal.
            rest = re.split(r" (?:coordinator|site)  *(?=coordinator |site )", line, maxsplit=1)[1]
            yield next(shell_commands(f"fedcausal {rest}"))
        elif re.match(r"\s+(\S+\s+)*fedcausal (coordinator|site) ", line):
            yield from shell_commands(line)


@pytest.mark.parametrize("manual", MANUALS)
def test_a_manual_shows_commands(manual):
    if manual != "deploy/flwr-app/README.md":
        assert len([line for name, line in manual_lines() if name == manual]) >= 3


@pytest.mark.parametrize(("manual", "line"), list(manual_lines()))
def test_a_command_of_a_manual_parses(manual, line):
    for words in shell_commands(line):
        assert fault_in(words) is None


COMMENTED = [
    "deploy/compose/coordinator.yaml",
    "deploy/compose/site.yaml",
    "deploy/kubernetes/coordinator.yaml",
    "deploy/kubernetes/site.yaml",
    "deploy/proxy/coordinator.conf",
    "deploy/proxy/coordinator-mtls.conf",
]


@pytest.mark.parametrize("name", COMMENTED)
def test_commands_in_comments_parse(name):
    found = list(comment_lines(name))
    assert found
    for words in found:
        assert fault_in(words) is None, words


@pytest.mark.parametrize("name", ["coordinator", "site"])
def test_the_services_of_compose_start(name):
    service = yaml.safe_load((ROOT / "deploy/compose" / f"{name}.yaml").read_text())["services"]
    assert service[name]["command"][1] == "start"
    assert fault_in(service[name]["command"]) is None


@pytest.mark.parametrize("name", ["coordinator", "site"])
def test_the_containers_of_kubernetes_start(name):
    text = (ROOT / "deploy/kubernetes" / f"{name}.yaml").read_text()
    (workload,) = [d for d in yaml.safe_load_all(text) if d["kind"] == "StatefulSet"]
    spec = workload["spec"]["template"]["spec"]
    seen = 0
    for container in (*spec["initContainers"], *spec["containers"]):
        if not container["image"].startswith("fedcausal:"):
            continue
        if "command" in container:
            lines = list(shell_commands(container["args"][0]))
        else:
            lines = [container["args"]]
        for words in lines:
            seen += 1
            assert fault_in(words) is None, words
    assert seen >= 2


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/systemd").glob("*.service")), ids=str)
def test_the_units_start_and_stop(path):
    lines = re.findall(r"^Exec(?:Start|Stop)=(.*)$", path.read_text(), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        (words,) = shell_commands(line)
        assert fault_in(words) is None, words


def test_the_image_runs_something():
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    assert 'ENTRYPOINT ["fedcausal"]' in text
    assert fault_in(re.findall(r'"(\w+)"', re.search(r"^CMD (.*)$", text, re.M)[1])) is None


@pytest.mark.parametrize(
    "line", ["fedcausal coordinator dance", "test -f x || fedcausal site start --never"]
)
def test_a_wrong_line_is_seen(line):
    (words,) = shell_commands(line)
    with pytest.raises(click.UsageError):
        fault_in(words)
