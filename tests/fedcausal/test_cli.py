"""The root command: quick, quiet about heavy imports, and honest about usage errors."""

import json
import subprocess
import sys

import pytest

from fedcausal.cli import main

HEAVY = ("torch", "flwr", "opacus", "tenseal", "ray", "causallearn", "pandas", "scipy")


def test_help_imports_nothing_heavy_and_is_quick():
    code = (
        "import sys, json, time\n"
        "from fedcausal.cli import main\n"
        "main(['--help'])\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "print(json.dumps([heavy, time.process_time()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, seconds = json.loads(done.stdout.splitlines()[-1])
    assert heavy == []
    assert "simulate" in done.stdout
    assert seconds < 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["study", "validate"],
        ["model", "effect", "--no-such-option"],
        ["demo", "--format", "xml"],
    ],
)
def test_usage_errors_exit_with_4(arguments, capsys):
    assert main(arguments) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_errors_are_json_when_json_is_asked_for(capsys, tmp_path):
    missing = str(tmp_path / "none.toml")
    assert main(["study", "validate", missing, "--format", "json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "error"
    assert answer["exit_code"] == 4
    assert "none.toml" in answer["message"]


def test_version_is_the_package_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fedcausal 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rehearse", "--help"], "A study file"),
        (["coordinator", "abort", "--help"], "with coordinator.toml in"),
        (["site", "requests", "deny", "--help"], "whole fingerprint or hash"),
    ],
)
def test_help_says_what_an_argument_is(arguments, words, capsys):
    assert main(arguments) == 0
    assert words in capsys.readouterr().out
