"""Many sites on one machine: the whole study, with every message, lock and gate, simulated."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedcausal_simulations.simulation import simulate

__all__ = ["simulate"]


def __getattr__(name: str) -> Any:
    """Import `simulate` on first use (PEP 562): it brings Flower and torch."""
    if name == "simulate":
        from fedcausal_simulations.simulation import simulate as found

        return found
    raise AttributeError(f"module 'fedcausal_simulations' has no attribute {name!r}")
