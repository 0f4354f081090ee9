"""Every command of the README and of `docs/queries.md` has the names it uses: nothing is run."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest
import typer

from fedcausal.cli import app

README = Path(__file__).resolve().parent.parent / "README.md"


def command_lines(text):
    """Lines that begin with `fedcausal ` in bash fences, continuation lines joined."""
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("fedcausal "):
                yield line


def words_of(line):
    """The arguments of a command line, without what the shell does with its output."""
    words = shlex.split(line, comments=True)[1:]
    stops = [i for i, word in enumerate(words) if re.match(r"^[0-9&]?[>|;&]", word)]
    return words[: stops[0]] if stops else words


def check(words):
    """Parse the words down to the last command; an unknown name is click's own error."""
    command = typer.main.get_command(app)
    with click.Context(command) as context:
        while True:
            if not hasattr(command, "list_commands"):
                command.parse_args(click.Context(command), list(words))
                return
            rest = [w for w in words if w not in ("-h", "--help", "--version")]
            if not rest:
                return
            found = command.get_command(context, rest[0])
            if found is None:
                raise click.UsageError(f"No such command {rest[0]!r}.")
            if hasattr(found, "target"):
                module, attribute = found.target.split(":")
                found = typer.main.get_command(getattr(import_module(module), attribute))
            command, words = found, words[words.index(rest[0]) + 1 :]


def readme_lines():
    pages = (README, README.parent / "docs" / "queries.md")
    texts = [page.read_text(encoding="utf-8") for page in pages if page.is_file()]
    return [line for text in texts for line in command_lines(text)]


@pytest.mark.skipif(not README.is_file(), reason="there is no README.md yet")
def test_the_readme_shows_commands():
    assert readme_lines()


@pytest.mark.parametrize("line", readme_lines())
def test_a_command_of_the_readme_parses(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word for word in words_of(line) if word not in ("-h", "--help")]
    fault = fault_of(words)
    # The files that a README names are not here; a wrong choice or number is a wrong line.
    assert fault is None or "does not exist" in fault


def fault_of(words):
    try:
        check(words)
    except click.BadParameter as error:
        return error.format_message()
    return None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fedcausal dance", "No such command"),
        ("fedcausal demo --nowhere x", "No such option"),
        ("fedcausal demo --format xml", "xml"),
        ("fedcausal simulate study.toml", "Missing (option|parameter)"),
        ("fedcausal model dance RUN", "No such command"),
        ("fedcausal demo extra", "unexpected extra argument"),
    ],
)
def test_the_check_sees_a_wrong_line(line, message):
    with pytest.raises(click.UsageError, match=f"(?i){message}"):
        check(words_of(line))


def test_lines_are_found_in_bash_fences_only():
    text = "```bash\nfedcausal a \\\n  --b  # why\n$ no\n```\n```text\nfedcausal c\n```\n"
    assert [words_of(line) for line in command_lines(text)] == [["a", "--b"]]
    assert words_of("fedcausal run show x --format json > out.json") == [
        "run",
        "show",
        "x",
        "--format",
        "json",
    ]
