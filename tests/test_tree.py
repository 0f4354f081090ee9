"""The folder tree: every module has its mirror test, every package is in the wheel."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "fedcausal": ROOT / "fedcausal",
    "fedcausal_privacy": ROOT / "privacy" / "fedcausal_privacy",
    "fedcausal_clients": ROOT / "clients" / "fedcausal_clients",
    "fedcausal_server": ROOT / "server" / "fedcausal_server",
    "fedcausal_simulations": ROOT / "simulations" / "fedcausal_simulations",
}
# Modules that hold declarations only, or are exercised wholly through another mirror.
WITHOUT_MIRROR = {
    "fedcausal/errors.py": "a tree of exceptions; each is raised in the test of its module",
    "fedcausal_privacy/errors.py": "the same",
}


def _modules():
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if path.name != "__init__.py":
                yield package, path.relative_to(folder)


@pytest.mark.parametrize(("package", "module"), list(_modules()), ids=lambda x: str(x))
def test_every_module_has_its_mirror_test(package, module):
    if f"{package}/{module}" in WITHOUT_MIRROR:
        return
    mirror = ROOT / "tests" / package / module.parent / f"test_{module.name.lstrip('_')}"
    assert mirror.is_file(), f"{package}/{module} has no {mirror.relative_to(ROOT)}"


def test_the_wheel_lists_every_package():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(config["tool"]["setuptools"]["packages"])
    found = {
        ".".join((package, *path.parent.relative_to(folder).parts))
        for package, folder in PACKAGES.items()
        for path in folder.rglob("__init__.py")
    }
    assert listed == found


def test_no_module_grows_past_one_idea():
    long = {
        f"{package}/{module}": lines
        for package, module in _modules()
        if (lines := (PACKAGES[package] / module).read_text().count("\n")) > 400
    }
    assert long == {}
