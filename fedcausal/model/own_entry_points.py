"""Mechanisms that installed packages offer: found by name, never by a path that a study brings."""

from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType

from fedcausal.errors import InputError
from fedcausal.model.own_mechanism import OwnMechanism

__all__ = ["ENTRY_POINTS", "check_installed", "installed_names", "load_own"]

ENTRY_POINTS = "fedcausal.mechanisms"


def installed_names() -> tuple[str, ...]:
    """What is installed here, by name; nothing is imported."""
    return tuple(sorted(_found()))


def check_installed(name: str, where: str) -> None:
    """Refuse a name that nothing, or more than one package, stands for; nothing is imported.

    Raises
    ------
    InputError
        It names the key and what is installed.
    """
    points = _found().get(name, ())
    if not points:
        known = ", ".join(installed_names()) or "none"
        raise InputError(
            f"{where}: no mechanism {name!r} is installed here (installed: {known}); install the "
            f"package that offers it under the entry points {ENTRY_POINTS!r}"
        )
    if len(points) > 1:
        raise InputError(
            f"{where}: {len(points)} installed packages offer a mechanism {name!r}; remove all "
            "but one"
        )


def load_own(name: str, version: str, where: str) -> type[OwnMechanism]:
    """The installed class of this name.

    Privacy: what runs is what the operator of this machine installed. A name and a version are
    all that a study or a model folder can bring.

    Raises
    ------
    InputError
        It is not installed, of another version, or no mechanism.
    """
    check_installed(name, where)
    (point,) = _found()[name]
    try:
        found = point.load()
    except Exception as error:  # whatever the package does while it is imported
        raise InputError(
            f"{where}: the mechanism {name!r} cannot be imported ({type(error).__name__}); "
            "repair the package that offers it"
        ) from error
    if not (isinstance(found, type) and issubclass(found, OwnMechanism)):
        raise InputError(
            f"{where}: what is installed as {name!r} is no class of "
            "fedcausal.model.own_mechanism.OwnMechanism"
        )
    has = getattr(found, "version", None)
    if has != version:
        raise InputError(
            f"{where}: version {version!r} of the mechanism {name!r} is wanted, and {has!r} is "
            "installed here; install the wanted one, or have a study name this one"
        )
    return found


def _found() -> Mapping[str, tuple[metadata.EntryPoint, ...]]:
    """By name; a package that is found twice on the path counts once."""
    found: dict[str, dict[str, metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        found.setdefault(point.name, {})[point.value] = point
    return MappingProxyType({name: tuple(own.values()) for name, own in found.items()})
