"""The root of the `fedcausal` command: groups are loaded only when somebody types them."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Any

import click
import typer
from typer.core import TyperGroup
from typer.models import ArgumentInfo
from typer.utils import get_params_from_function

from fedcausal.console import fail
from fedcausal_privacy.errors import FedCausalError

__all__ = ["app", "main"]

ENTRY_POINTS = "fedcausal.commands"

# One line of help per command, kept here so that `--help` need not import what it lists.
CORE = {
    "study": ("fedcausal.commands.study:app", "Write, check, plan and fingerprint study files."),
    "model": ("fedcausal.commands.model:app", "Sample, imagine and estimate with a run's model."),
    "evaluate": (
        "fedcausal.commands.evaluate:app",
        "Compare a run with held-out records or a known graph.",
    ),
    "run": ("fedcausal.commands.run:app", "List and show finished runs."),
    "graph": ("fedcausal.commands.graph:app", "Convert graph files of other programs."),
    "audit": ("fedcausal.commands.audit:app", "Check, read and export a role's audit log."),
    "doctor": ("fedcausal.commands.doctor:app", "Check this installation."),
}
UPPER = {
    "demo": "Four real hospitals learn one causal model, on this machine.",
    "simulate": "Run a study over many simulated sites on this machine.",
    "site": "Join a coordinator, serve studies, look at data, requests, policy and budget.",
    "coordinator": "Enrol sites and run studies.",
    "key": "Make, show, replace and revoke the keys of a role.",
    "rehearse": "Run a study as separate processes on this machine.",
}
ORDER = (
    "demo",
    "simulate",
    "rehearse",
    "study",
    "run",
    "graph",
    "model",
    "evaluate",
    "site",
    "coordinator",
    "key",
    "audit",
)


class _Lazy(click.Command):
    """A command that is imported when it is invoked, not when it is listed."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary, short_help=summary)
        self.target = target

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        module, attribute = self.target.split(":")
        loaded = getattr(import_module(module), attribute)
        command = _with_argument_help(typer.main.get_command(loaded))
        return command.make_context(info_name, args, parent=parent, **extra)


def _with_argument_help(command: click.Command) -> click.Command:
    """Give arguments their help again: click from 8.4 on forgets what typer below 0.21 told it.

    Flower allows no newer typer.
    """
    for inner in getattr(command, "commands", {}).values():
        _with_argument_help(inner)
    if command.callback is not None:
        told = get_params_from_function(command.callback)
        for parameter in command.params:
            said = told[parameter.name].default if parameter.name in told else None
            if isinstance(parameter, click.Argument) and isinstance(said, ArgumentInfo):
                parameter.help = said.help
    return command


def _commands() -> dict[str, _Lazy]:
    """The core's commands, then those that installed upper packages contribute."""
    found = {name: _Lazy(name, target, summary) for name, (target, summary) in CORE.items()}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        summary = UPPER.get(point.name, "Contributed by an installed package.")
        found[point.name] = _Lazy(point.name, point.value, summary)
    ranks = {name: rank for rank, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: ranks.get(item[0], len(ORDER))))


class _Root(TyperGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _commands().get(cmd_name)


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fedcausal {metadata.version('fedcausal')}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", callback=_version, is_eager=True
    ),
) -> None:
    """One causal graph and one causal model from many sites that may not share a row."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Exit codes: 0 ok, 1 failed, 2 connection or authentication, 3 timeout, 4 bad arguments or bad
    configuration. A user's mistake never ends in a traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = ("json" in given and "--format" in given) or "--format=json" in given
    command = typer.main.get_command(app)
    try:
        result = command.main(args=given, prog_name="fedcausal", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 4
    except click.UsageError as error:
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return fail(error.format_message() + where, 4, as_json=as_json)
    except click.ClickException as error:
        return fail(error.format_message(), 4, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return fail("stopped", 1, as_json=as_json)
    except FedCausalError as error:
        return fail(str(error), error.exit_code, as_json=as_json, kind=type(error).__name__)
    except MemoryError:
        return fail("not enough memory; ask for fewer rows or variables", 1, as_json=as_json)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:
            return _internal(error, as_json=as_json)
        return fail(f"{error.filename}: {error.strerror}; check the path", 4, as_json=as_json)
    except Exception as error:
        return _internal(error, as_json=as_json)


def _internal(error: Exception, *, as_json: bool) -> int:
    """A fault of ours: the traceback is for the report that we ask for."""
    traceback.print_exc()
    return fail(f"internal error, please report it: {error!r}", 1, as_json=as_json)


def script() -> None:
    """Entry point of the installed `fedcausal` script."""
    sys.exit(main())


if __name__ == "__main__":
    script()
