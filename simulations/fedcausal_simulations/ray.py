"""Flower's own simulation engine: the same apps on Ray, for more sites than one process takes."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedcausal_simulations.inprocess import RunConfig, run_config_of
from fedcausal_simulations.workspace import read_nodes

__all__ = ["OFFLINE", "ConfiguredClientApp", "configured_server_app", "run_ray"]

# Flower would post telemetry, ask for updates and install dependencies; Ray would count usage.
OFFLINE = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class ConfiguredClientApp(ClientApp):
    """A client app that finds a run config in its context, as a deployment would give it."""

    def __init__(self, inner: ClientApp, run_config: RunConfig) -> None:
        super().__init__()
        self._inner, self._run_config = inner, dict(run_config)

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message."""
        return self._inner(message, _configured(context, self._run_config))


def configured_server_app(inner: ServerApp, run_config: RunConfig) -> ServerApp:
    """A server app that finds a run config in its context."""
    configured = ServerApp()

    @configured.main()
    def main(grid: Grid, context: Context) -> None:
        inner(grid, _configured(context, run_config))

    return configured


def run_ray(
    server_app: ServerApp,
    client_app: ClientApp,
    workspace: Path,
    out: Path,
    seed: int,
    *,
    options: Mapping[str, str] | None = None,
    num_cpus: int | None = None,
) -> None:
    """Run a prepared workspace on Ray; the server app writes its results into `out`.

    Parameters
    ----------
    options
        Further keys of the run config (`steps`).
    num_cpus
        CPUs that Ray may use, one for each node at work; all of this machine's by default.

    Errors of the server app are raised here as they are. Ray's start costs half a minute, which
    pays from about the size on where one process is too slow.
    """
    with _offline():
        from flwr.simulation import run_simulation

        config = run_config_of(workspace.resolve(), out.resolve(), seed, options)
        init: dict[str, str | int | float | bool] = {"include_dashboard": False}
        if num_cpus is not None:
            init["num_cpus"] = num_cpus
        run_simulation(
            server_app=configured_server_app(server_app, config),
            client_app=ConfiguredClientApp(client_app, config),
            num_supernodes=len(read_nodes(workspace)),
            backend_name="ray",
            backend_config={
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                "init_args": {**init, "logging_level": "ERROR", "log_to_driver": False},
            },
        )


def _configured(context: Context, run_config: RunConfig) -> Context:
    """The context with another run config; Flower refuses a change of its own one."""
    return Context(
        run_id=context.run_id,
        node_id=context.node_id,
        node_config=context.node_config,
        state=context.state,
        run_config=dict(run_config),
    )


@contextmanager
def _offline() -> Iterator[None]:
    """Set what keeps Flower and Ray off the network and quiet, and take it back afterwards."""
    before = {name: os.environ.get(name) for name in (*OFFLINE, "PYTHONPATH")}
    logger = logging.getLogger("flwr")
    level = logger.level
    os.environ.update(OFFLINE)
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
