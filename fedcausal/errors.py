"""The errors of the core, extending the small tree of the privacy layer."""

from fedcausal_privacy.errors import (
    BudgetExceededError,
    DeadlineError,
    DisclosureError,
    FedCausalError,
    InputError,
    LinkError,
    ProtocolError,
    StorageError,
    UnsupportedEventError,
)

__all__ = [
    "BudgetExceededError",
    "DataError",
    "DeadlineError",
    "DisclosureError",
    "FedCausalError",
    "FewRowsError",
    "GraphError",
    "IdentificationError",
    "InputError",
    "KnowledgeError",
    "LinkError",
    "ProtocolError",
    "SchemaError",
    "StorageError",
    "StudyError",
    "UnreachableError",
    "UnsupportedEventError",
]


class UnreachableError(LinkError):
    """The SuperLink itself did not answer until a deadline; the run is whole, and can go on."""


class StudyError(InputError):
    """The study file is wrong; the message names file:key, what came, what was expected."""


class SchemaError(InputError):
    """A variable is declared wrongly, or asked for and not declared."""


class DataError(InputError):
    """A site's data do not fit the study; the message names site:column, never a value."""


class FewRowsError(DataError):
    """A site has too few rows for anything to be learnt or hidden."""


class KnowledgeError(InputError):
    """Background knowledge contradicts itself."""


class GraphError(InputError):
    """A graph is not what its kind promises (a cycle in a DAG, an unknown node)."""


class IdentificationError(InputError):
    """An effect is not identified from the graph; the message says why."""
