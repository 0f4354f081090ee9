"""Peers from PyPI, asked as subprocesses of an environment of their own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from task import Answers, Task

__all__ = ["PEERS", "ask", "peers_python"]

PEERS = ("causalflows-nsf", "causalflows-maf", "dowhy")
REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"


def peers_python() -> Path:
    """The peers' interpreter: PEERS where it is set, else an environment made once in a cache."""
    if given := os.environ.get("PEERS"):
        return Path(given)
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = caches / "fedcausal" / "benchmark-peers"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run(install, check=True)
        done.touch()
    return python


def ask(peer: str, task: Task, timeout: float = 3600.0) -> Answers:
    """Fit a peer on a task's rows and hear its answers; one thread.

    Raises
    ------
    RuntimeError
        The peer failed or ran out of time; the message ends with its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "task.npz", Path(folder) / "answers.npz"
        task.save(source)
        script = Path(__file__).parent / "peer_models.py"
        command = [str(peers_python()), str(script), peer, str(source), str(target)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        try:
            subprocess.run(
                command, check=True, capture_output=True, env=environment, timeout=timeout
            )
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{peer}: {error.stderr.decode()[-500:]}") from None
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{peer}: no answer within {timeout:g} s") from None
        with np.load(target) as found:
            return Answers(found["means"], found["worlds"], float(found["cpu"]))
