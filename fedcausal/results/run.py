"""A finished run: its graph, its model, its answers and what they cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedcausal.errors import InputError
from fedcausal.graph import Graph

if TYPE_CHECKING:
    import pandas as pd

    from fedcausal.effects.conditional import ConditionalLaw
    from fedcausal.effects.effect import EffectEstimate
    from fedcausal.effects.identification import Pairs
    from fedcausal.effects.target import Values
    from fedcausal.effects.whose import Heads
    from fedcausal.model.policies import Policy
    from fedcausal.model.scm import StructuralCausalModel

__all__ = ["RUNS", "Run", "RunModel", "list_runs", "load_run", "resolve_run"]

RUNS = Path("runs")
RESULT_FILE = "result.json"
CARD_FILE = "run.json"
LEDGER_FILE = "ledger.json"
MODEL_FOLDER = "model"
RESULT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunModel:
    """The model of a run; loaded from its folder when the first question comes.

    `family` is None for the run's default, or "gram", "nodeflow"; `graph` is what was learnt, by
    which effects are identified; `varying` names mechanisms that differ between the sites.
    """

    folder: Path
    family: str | None = None
    graph: Graph | None = None
    varying: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of_family(self, family: str) -> "RunModel":
        """The same run's model of another family."""
        return replace(self, family=family)

    def heads(self) -> "Heads | None":
        """Which mechanisms one site has put in the place of shared ones, in its own copy."""
        from fedcausal.effects.whose import Heads
        from fedcausal.model.artifact import manifest

        found = manifest(self.folder)["extra"].get("heads")
        if found is None:
            return None
        return Heads(site=found["site"], nodes=tuple(found["nodes"]))

    def load(self) -> "StructuralCausalModel":
        """The structural causal model itself, its hashes checked; it knows what was learnt."""
        from fedcausal.model.artifact import load

        found = load(self.folder, self.family)
        return found if found.learnt is not None else replace(found, learnt=self.graph)

    def sample(
        self,
        num_rows: int,
        do: "Mapping[str, Policy] | None" = None,
        seed: int = 0,
        *,
        extrapolate: float = 0.0,
    ) -> "pd.DataFrame":
        """Draw records, under do() if given; see `StructuralCausalModel.sample`."""
        return self.load().sample(num_rows, do=do, extrapolate=extrapolate, seed=seed)

    def log_prob(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """How likely records are, node by node; see `StructuralCausalModel.log_prob`."""
        return self.load().log_prob(frame)

    def query(
        self,
        outcome: str,
        *,
        given: "Values",
        do: "Values | None" = None,
        samples: int = 20_000,
        seed: int = 0,
    ) -> "ConditionalLaw":
        """The law of a variable among records with given values; see `effects.conditional`."""
        from fedcausal.effects.whose import varying_warnings

        model, heads = self.load(), self.heads()
        found = model.query(outcome, given=given, do=do, samples=samples, seed=seed)
        behind = {outcome, *given}.union(*(model.graph.ancestors(n) for n in (outcome, *given)))
        own = heads.nodes if heads else ()
        averaged = [n for n in model.graph.nodes if n in behind - {*own, *(do or {})}]
        told = (heads.sentence,) if heads else ()
        return replace(
            found,
            warnings=(*found.warnings, *varying_warnings(averaged, self.varying)),
            assumptions=(*found.assumptions, *told),
        )

    def counterfactual(
        self,
        frame: "pd.DataFrame",
        do: "Mapping[str, Policy]",
        *,
        probabilities: bool = False,
        level: float | None = None,
        extrapolate: float = 0.0,
        seed: int = 0,
    ) -> "pd.DataFrame":
        """What records would have been; see `StructuralCausalModel.counterfactual`."""
        model, heads = self.load(), self.heads()
        found = model.counterfactual(
            frame,
            do=do,
            probabilities=probabilities,
            level=level,
            extrapolate=extrapolate,
            seed=seed,
        )
        if heads is not None:
            found.attrs["assumptions"] = [*found.attrs["assumptions"], heads.sentence]
        return found

    def effect(
        self,
        treatment: str,
        outcome: str,
        values: tuple[float | str, float | str],
        *,
        hidden: "Pairs" = (),
        population: str = "pooled",
        treated: bool = False,
        given: "Values | None" = None,
        means: "Values | None" = None,
        records: "pd.DataFrame | None" = None,
        extrapolate: float = 0.0,
        seed: int = 0,
    ) -> "EffectEstimate":
        """An average effect, identified by the learnt graph; see `effects.effect`.

        The answer says which of its mechanisms differ between the sites, and which are one's own.
        """
        from fedcausal.effects.whose import told_whose

        model = self.load()
        found = model.effect(
            treatment,
            outcome,
            values,
            graph=self.graph,
            hidden=hidden,
            population=population,
            treated=treated,
            given=given,
            means=means,
            records=records,
            extrapolate=extrapolate,
            seed=seed,
        )
        return told_whose(found, model.graph, self.varying, self.heads())


@dataclass(frozen=True)
class Run:
    """A run folder, read on demand."""

    path: Path

    @cached_property
    def result(self) -> dict[str, Any]:
        """`result.json`: the `exact` part and the `noised` part."""
        return _read_json(self.path / RESULT_FILE)

    @cached_property
    def findings(self) -> dict[str, Any]:
        """What was learnt, whether from exact sums or from noised ones."""
        return {**self.result["exact"], **self.result["noised"]}

    @cached_property
    def card(self) -> dict[str, Any]:
        """`run.json`: hashes, parties, versions, bytes."""
        return _read_json(self.path / CARD_FILE)

    @cached_property
    def graph(self) -> Graph:
        """The learnt graph, with edge probabilities."""
        return Graph.from_json(self.findings["graph"])

    @cached_property
    def dag(self) -> Graph:
        """The graph of the model: the deterministic extension of `graph`; a PAG has none."""
        dag = self.findings["dag"]
        if dag is None:
            raise InputError(f"{self.path}: the graph is a PAG, which has no single model DAG")
        return Graph.from_json(dag)

    @property
    def model(self) -> RunModel:
        """The model; a run whose steps stopped at discovery has none."""
        folder = self.path / MODEL_FOLDER
        if not folder.is_dir() and self.graph.kind == "pag":
            raise InputError(
                f"{self.path}: the graph is a PAG, which stands for no one model; "
                "`fedcausal model effect` (in Python `identify`) says which effects it identifies"
            )
        if not folder.is_dir():
            raise InputError(f'{self.path}: the run has no model; run the step "model" too')
        varying = self.findings.get("varying", {})
        return RunModel(folder=folder, graph=self.graph, varying=varying)

    @property
    def effects(self) -> list[dict[str, Any]]:
        """The answers to the study's effect queries."""
        return list(self.findings["answers"]["effects"])

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Effect queries without an answer: the key of each, and why."""
        return list(self.findings["answers"].get("refused", []))

    @property
    def at_sites(self) -> list[dict[str, Any]]:
        """Effect queries about one site's records, which that site answers at its own place."""
        return list(self.findings["answers"].get("at_sites", []))

    @cached_property
    def ledger(self) -> dict[str, list[dict[str, Any]]]:
        """What each simulated site charged; empty where the sites keep it to themselves."""
        path = self.path / LEDGER_FILE
        return _read_json(path) if path.is_file() else {}


def load_run(path: str | Path) -> Run:
    """Open a run folder, or the run of this name under `runs/`.

    Raises
    ------
    InputError
        There is no such run, or its result has another version.
    """
    run = Run(resolve_run(str(path)))
    version = run.result.get("schema_version")
    if version != RESULT_VERSION:
        raise InputError(
            f"{run.path / RESULT_FILE}: expected schema_version {RESULT_VERSION}, got {version}"
        )
    return run


def resolve_run(reference: str, root: Path = RUNS) -> Path:
    """The folder of a run given by path, by its name under `runs/`, or by the name's beginning."""
    if (Path(reference) / RESULT_FILE).is_file():
        return Path(reference)
    names = [run.path.name for run in list_runs(root)]
    found = [n for n in names if n == reference] or [n for n in names if n.startswith(reference)]
    if len(found) == 1:
        return root / found[0]
    known = ", ".join(found or names) or "none"
    raise InputError(
        f"no single run {reference!r}: give a run folder, or one of the runs under {root}: {known}"
    )


def list_runs(root: Path = RUNS) -> Sequence[Run]:
    """All finished runs under a folder, by name."""
    if not root.is_dir():
        return ()
    return [Run(p) for p in sorted(root.iterdir()) if (p / RESULT_FILE).is_file()]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; expected the folder of a run") from None
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read as JSON; the run folder is damaged") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object; the run folder is damaged")
    return content
