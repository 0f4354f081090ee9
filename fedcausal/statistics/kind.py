"""What can leave a site: a request, and the contract that every kind of statistic keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from fedcausal.data.table import TableSource
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, json_hash
from fedcausal_privacy.dp.events import Event
from fedcausal_privacy.dp.integer_noise import IntegerNoise
from fedcausal_privacy.errors import ProtocolError
from fedcausal_privacy.statistic_spec import IntVector, StatisticSpec

__all__ = [
    "Part",
    "PrivateKind",
    "PublicKind",
    "Request",
    "StatisticKind",
    "TableSource",
]

Part = Literal["graph", "model", "effects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the coordinator asks of every site: a kind of statistic and its parameters.

    `parameters` are JSON and public; nothing in them may depend on one site's rows. `records`
    lists the patterns of missing values that an exact sum takes in; without a list it is about
    complete records (`fedcausal.statistics.records`).
    """

    kind: str
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    records: Sequence[JsonValue] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        if self.records is not None:
            object.__setattr__(self, "records", tuple(self.records))

    def id(self) -> str:
        """The kind and the hash of all the rest; equal requests have equal ids.

        Privacy: masks and signatures are bound to the id, and through it all sites to the same
        parameters. So the hash is whole: in a short one, a coordinator finds two requests of one
        id, and asks one site for its answer and the others for something that it knows.

        >>> Request(kind="gram").id() == Request(kind="gram", parameters={}).id()
        True
        """
        content: JsonValue = dict(self.parameters)
        if self.records is not None:
            # A list and not an object: no parameters hash like parameters and a list.
            content = [content, list(self.records)]
        return f"{self.kind}-{json_hash(content)}"

    def to_json(self) -> dict[str, JsonValue]:
        """The request as a JSON object."""
        content: dict[str, JsonValue] = {"kind": self.kind, "parameters": dict(self.parameters)}
        return content if self.records is None else {**content, "records": list(self.records)}

    @classmethod
    def from_json(cls, value: JsonValue) -> "Request":
        """Rebuild a request from `to_json`; anything else is a `ProtocolError`."""
        if isinstance(value, Mapping) and set(value) - {"records"} == {"kind", "parameters"}:
            kind, parameters = value["kind"], value["parameters"]
            records = value.get("records")
            is_listed = "records" not in value or isinstance(records, list | tuple)
            if isinstance(kind, str) and isinstance(parameters, Mapping) and is_listed:
                listed = tuple(records) if isinstance(records, list | tuple) else None
                return cls(kind=kind, parameters=parameters, records=listed)
        raise ProtocolError("expected a request {kind, parameters}, got something else")


class PublicKind(Protocol):
    """What everybody may know of a kind of summed vector.

    Privacy: `spec` is derived by site and coordinator alike from public values only.
    """

    @property
    def name(self) -> str:
        """How requests name the kind."""
        ...

    @property
    def part(self) -> Part:
        """The privacy part that the kind is charged to."""
        ...

    def spec(self, study: Study, request: Request, num_sites: int) -> StatisticSpec:
        """The public shape and bounds of the vector."""
        ...

    def width(self, study: Study, request: Request) -> int:
        """Parameters of the largest single Gram or model inside; 0 when saturation is no risk."""
        ...


@runtime_checkable
class StatisticKind(PublicKind, Protocol):
    """A kind whose vector follows from a site's rows in one pass.

    Privacy: `compute` runs at the site, and its vector leaves through the gate and a secure sum
    or not at all.
    """

    def compute(
        self, study: Study, request: Request, source: TableSource, rng: np.random.Generator
    ) -> IntVector:
        """The site's vector, every entry within the spec's bound."""
        ...


@runtime_checkable
class PrivateKind(PublicKind, Protocol):
    """A kind that leaves a site with noise only.

    Privacy: the gate charges `event` before `compute_private` runs; `noise` comes from the
    system's randomness, never from a generator with a seed.
    """

    def event(self, study: Study, request: Request) -> Event:
        """What the release costs each site."""
        ...

    def compute_private(
        self,
        study: Study,
        request: Request,
        source: TableSource,
        *,
        num_sites: int,
        noise: IntegerNoise,
    ) -> IntVector:
        """The site's vector with its share of the noise, every entry within the spec's bound."""
        ...
