"""Causal discovery from released statistics and the sites' votes."""

from fedcausal.discovery.algorithms import discover
from fedcausal.discovery.knowledge import Knowledge
from fedcausal.discovery.options import DiscoveryOptions
from fedcausal.discovery.result import Discovery

__all__ = ["Discovery", "DiscoveryOptions", "Knowledge", "discover"]
