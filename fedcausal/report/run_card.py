"""What a run ran on: versions and the class of machine, nothing that names a person or a host."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

__all__ = ["PACKAGES", "run_card"]

PACKAGES = (
    "fedcausal",
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "opacus",
    "dp-accounting",
    "tenseal",
    "flwr",
    "flopsearch",
    "causal-learn",
    "cryptography",
    "safetensors",
)


def run_card(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the packages that are installed, and the platform's class.

    >>> card = run_card(["numpy"])
    >>> sorted(card)
    ['numpy', 'platform', 'python']
    """
    card = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for package in packages:
        found = _version(package)
        if found is not None:
            card[package] = found
    return card


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
