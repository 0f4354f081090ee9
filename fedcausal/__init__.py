"""One causal graph and one causal model from many sites that may not share a row.

    from fedcausal import Schema, Study, load_run
    from fedcausal_simulations import simulate

Names are imported when they are first used, so that `import fedcausal` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedcausal.graph import Graph
    from fedcausal.results.run import Run, load_run
    from fedcausal.schema import Schema
    from fedcausal.study import Study

__all__ = ["Graph", "Run", "Schema", "Study", "load_run"]

_HOMES = {
    "Graph": "fedcausal.graph",
    "Run": "fedcausal.results.run",
    "Schema": "fedcausal.schema",
    "Study": "fedcausal.study",
    "load_run": "fedcausal.results.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fedcausal' has no attribute {name!r}")
