"""The study file: what every site reads, hashes and approves."""

import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from fedcausal.errors import InputError, StudyError
from fedcausal.schema import Schema
from fedcausal.study_file.checks import problems_of
from fedcausal.study_file.errors import Problem, explain, refuse, refuse_all
from fedcausal.study_file.formulas import formula_edges, formula_problems
from fedcausal.study_file.own_mechanisms import own_mechanism_problems
from fedcausal.study_file.robust import robust_problems
from fedcausal.study_file.sections import (
    DiscoverySection,
    EffectsSection,
    FederationSection,
    KnowledgeSection,
    ModelSection,
    PrivacySection,
    RoundsSection,
    StudySection,
)
from fedcausal.study_file.variables import BASES, HEAVY_BASES, VariableSpec
from fedcausal_privacy.canonical import JsonValue, json_hash

if TYPE_CHECKING:
    from fedcausal.discovery.knowledge import Knowledge

__all__ = ["Study"]


class Study(BaseModel):
    """A whole study: variables, knowledge, discovery, privacy, model, effects, rounds, sites.

    Two studies are equal exactly when their hashes are: neither the order of keys nor a default
    that is written out makes a difference. For that reason the variables' public order is by
    name, whatever order the file has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    study: StudySection = StudySection()
    variables: Annotated[dict[str, VariableSpec], Strict(False)]
    knowledge: KnowledgeSection = KnowledgeSection()
    discovery: DiscoverySection = DiscoverySection()
    privacy: PrivacySection = PrivacySection()
    model: ModelSection = ModelSection()
    effects: EffectsSection = EffectsSection()
    rounds: RoundsSection = Field(default_factory=RoundsSection)
    federation: FederationSection = FederationSection()

    @field_validator("variables")
    @classmethod
    def _named(cls, variables: dict[str, VariableSpec]) -> dict[str, VariableSpec]:
        if len(variables) < 2:
            raise refuse(
                f"expected two variables or more, got {len(variables)}; "
                'write [variables.age] with kind = "continuous" and so on'
            )
        odd = [name for name in variables if not name or name != name.strip()]
        if odd:
            raise refuse(f"expected names without outer spaces, got {odd[0]!r}; rename it")
        unprintable = [name for name in variables if not name.isprintable()]
        if unprintable:
            raise refuse(f"expected names of one line, got {unprintable[0]!r}; rename it")
        return dict(sorted(variables.items()))

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        problems = problems_of(
            self.schema(),
            self.knowledge,
            self.effects,
            self.privacy,
            self.discovery,
            self.model,
        )
        problems += self._private_basis_problems()
        problems += robust_problems(
            self.schema(),
            self.federation,
            privacy=self.privacy,
            discovery=self.discovery,
            model=self.model,
        )
        problems += formula_problems(self.schema(), self.variables, self.knowledge, self.model)
        problems += own_mechanism_problems(
            self.schema(),
            self.variables,
            privacy=self.privacy,
            federation=self.federation,
            model=self.model,
        )
        if problems:
            raise refuse_all(problems)
        self._check_graph()
        return self

    def _check_graph(self) -> None:
        """Refuse a graph that cannot be read or does not fit, before any site is asked."""
        if self.knowledge.graph is None:
            return
        from fedcausal.steps.graph import given_graph

        try:
            given_graph(self)
        except InputError as error:
            fault = str(error).removeprefix("knowledge.graph: ")
            raise refuse(fault, key="knowledge.graph") from None

    @classmethod
    def model_validate(cls, obj: Any, *, source: str = "study", **options: Any) -> Self:
        """A study from a mapping with the keys of the TOML file; `source` names it in errors."""
        if not isinstance(obj, Mapping | cls):
            raise StudyError(f"{source}: expected a table of sections, got {type(obj).__name__}")
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise explain(error, cls, source) from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a study file; every fault is a `StudyError` that names the file and the key."""
        path = Path(path)
        content = cls.parse(_read_text(path), source=path.name)
        knowledge = content.get("knowledge")
        if isinstance(knowledge, dict) and isinstance(knowledge.get("graph"), str):
            knowledge["graph"] = _graph_text(knowledge["graph"], path)
        return cls.model_validate(content, source=path.name)

    @staticmethod
    def parse(text: str, *, source: str = "study") -> dict[str, Any]:
        """TOML text as a mapping; a syntax error is a `StudyError` with its line."""
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise StudyError(f"{source}: not valid TOML: {error}; correct that line") from None

    # pydantic's deprecated classmethod of this name is not ours to keep.
    def schema(self) -> Schema:  # type: ignore[override]
        """The variables in their public order (by name)."""
        return self._schema

    @cached_property
    def _schema(self) -> Schema:
        return Schema(tuple(spec.variable(name) for name, spec in self.variables.items()))

    def degrees(self) -> dict[str, int]:
        """Degree of the basis that is collected for each numeric variable."""
        return {
            name: min(BASES[self.basis_of(name)], _most(self.schema()[name].categories))
            for name in self.schema().names
            if self.schema()[name].is_numeric
        }

    def heavy(self) -> frozenset[str]:
        """The numeric variables of which the asinh is collected."""
        names = (name for name in self.schema().names if self.schema()[name].is_numeric)
        return frozenset(name for name in names if self.basis_of(name) in HEAVY_BASES)

    def _private_basis_problems(self) -> list[Problem]:
        part = self.privacy.graph
        if part is None or part.epsilon is None or self.knowledge.graph is not None:
            return []
        return [
            (
                f"variables.{name}.basis" if self.variables[name].basis else "discovery.basis",
                f"{self.basis_of(name)!r} of {name} has no noisy form; write a legendre basis, or "
                "remove the epsilon of privacy.graph",
            )
            for name in sorted(self.heavy())
        ]

    def basis_of(self, name: str) -> str:
        """The basis of a variable: its own, or that of the study."""
        return self.variables[name].basis or self.discovery.basis

    def knowledge_base(self) -> "Knowledge":
        """The background knowledge over all variables, as discovery uses it."""
        from fedcausal.discovery.knowledge import Knowledge

        required, forbidden = formula_edges(self.variables)
        return Knowledge(
            nodes=self.schema().names,
            tiers=self.knowledge.tiers,
            required=tuple(dict.fromkeys([*self.knowledge.required, *required])),
            forbidden=tuple(dict.fromkeys([*self.knowledge.forbidden, *forbidden])),
        )

    def check_num_sites(self, num_sites: int) -> None:
        """Refuse to begin with a roster that the study does not allow."""
        self.check_present(num_sites)
        lying = self.federation.robust
        if num_sites <= 3 * lying:
            raise StudyError(
                f"federation.robust: expected fewer than a third of {num_sites} sites, got "
                f"{lying}; lower it, or let more sites join"
            )

    def check_present(self, num_sites: int) -> None:
        """Refuse to go on with fewer sites than the study allows."""
        least = self.privacy.min_sites
        if num_sites < least:
            raise StudyError(
                f"privacy.min_sites: expected {least} sites or more, got {num_sites}; "
                "let more sites join"
            )
        colluding = self.privacy.colluding_sites or 0
        if num_sites - colluding < 2:
            raise StudyError(
                f"privacy.colluding_sites: expected at most {num_sites - 2} of {num_sites} sites, "
                f"got {colluding}; lower it, or let more sites join"
            )
        quorum = self.rounds.quorum
        if quorum is not None and not least <= quorum <= num_sites:
            raise StudyError(
                f"rounds.quorum: expected {least} (privacy.min_sites) to {num_sites} sites, got "
                f"{quorum}; write quorum = {least}, or remove the key"
            )

    def to_json(self) -> dict[str, JsonValue]:
        """Every key with its value, defaults included."""
        content: dict[str, JsonValue] = self.model_dump(mode="json")
        return content

    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the whole study: what sites approve."""
        return json_hash(self.to_json())

    def to_toml(self) -> str:
        """The study as TOML text; loading it gives an equal study."""
        content = self.model_dump(mode="json", exclude_none=True)
        for name, spec in self.variables.items():
            content["variables"][name] = spec.model_dump(
                mode="json", exclude_defaults=True, exclude_none=True
            )
        return tomli_w.dumps(content, multiline_strings=True)


def _most(levels: tuple[str, ...]) -> int:
    """The highest degree that tells the codes of an ordinal apart."""
    return len(levels) - 1 if levels else max(BASES.values())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(f"{path}: there is no such file; give the path of a study file") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path}: expected UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def _graph_text(graph: str, study_path: Path) -> str:
    """The text of a graph file beside the study file; text that is a graph already stays."""
    if "{" in graph or "\n" in graph:
        return graph
    path = study_path.parent / graph
    if not path.is_file():
        raise StudyError(
            f"{study_path.name}: knowledge.graph: there is no file {graph!r} beside the study; "
            "correct the path"
        )
    return _read_text(path)
