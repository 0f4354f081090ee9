"""An installed package of mechanisms: the example of the document, and broken ones."""

import importlib
import re
import sys
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "own-mechanisms.md"

BROKEN = """

class Raising(LogLinear):
    def fit(self, totals):
        raise ValueError("a secret")


class RaisingAtTheSite(LogLinear):
    def features(self, value, parents):
        raise ValueError(f"a value {value[0]}")


class Forgetful(LogLinear):
    def abduct(self, arrays, value, parents):
        return 0.0 * value


class Undetermined(LogLinear):
    def fit(self, totals):
        return {"slopes": [float("nan")]}


class Wide(LogLinear):
    @property
    def num_features(self):
        return 1000


class Short(LogLinear):
    def features(self, value, parents):
        return super().features(value, parents)[1:]


class LaterRaising(LogLinear):
    def redraw(self, arrays, rng):
        raise KeyError("x")


NO_MECHANISM = 3
"""
NAMES = {
    "log-linear": "LogLinear",
    "raising": "Raising",
    "raising-at-the-site": "RaisingAtTheSite",
    "forgetful": "Forgetful",
    "undetermined": "Undetermined",
    "wide": "Wide",
    "short": "Short",
    "later-raising": "LaterRaising",
    "no-mechanism": "NO_MECHANISM",
    "not-there": "Missing",
}


def example():
    """The Python of the document."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return code


def install(folder, monkeypatch, module="own_example", names=NAMES):
    """Put a package on the path as an installer would: a module, and its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(example() + BROKEN, encoding="utf-8")
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in names.items()]
    points = "\n".join(["[fedcausal.mechanisms]", *lines, ""])
    (about / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, module, raising=False)
    return importlib.import_module(module)
