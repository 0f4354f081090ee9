"""The report of a run, told from the files of its folder alone."""

import json
from pathlib import Path
from typing import Any

from fedcausal.effects.effect import EffectEstimate
from fedcausal.graph import Edge, Mark
from fedcausal.model.open_edges import open_at, open_sentence
from fedcausal.report.content import (
    CounterfactualCase,
    EdgeRow,
    LedgerRow,
    ReportContent,
    TableView,
)
from fedcausal.report.html import render
from fedcausal.results.answers import effect_from_json
from fedcausal.results.participation import (
    hiding_sentence,
    limit_sentence,
    missing_sites,
    site_sentences,
)
from fedcausal.results.run import Run
from fedcausal.results.summary import told_at_site
from fedcausal.study import Study

__all__ = ["REPORT_FILE", "SITES_FILE", "report_content", "write_report"]

REPORT_FILE = "report.html"
SITES_FILE = "sites.json"
MAX_DISAGREEMENTS = 12
REFERENCE = "reference level"
MECHANISMS = {
    "LevelMechanism": "levels, Gumbel noise",
    "NumericMechanism": "number, additive noise",
    "ScaledNoiseMechanism": "number, noise whose spread depends on the parents",
    "FlowMechanism": "number, neural flow",
    "FormulaMechanism": "formula, no noise",
    "CountMechanism": "count, a law of whole numbers about the mean",
    "OwnNode": "number, a mechanism of a user's own",
}

CHOICE = (
    "Mean log density (of levels, log probability) per record over records that no fit has seen, "
    "summed over the sites in secret; numbers in units of their residual's spread. Taken is the "
    "simplest one whose likelihood is within a factor of 20 of the best."
)
IN_THE_BASIS = "Dependence beyond what the basis expresses (here: linear, and levels) is not seen."
IN_TABLES = (
    "Dependence between levels is seen where their combinations were released; withheld cells are "
    "filled in from the released ones."
)
LIMITS = (
    "Not a clinical validation: the graph and the effects are hypotheses to be tested.",
    "A site that lies within its bounds can distort the sums; it cannot read anybody's.",
    "Nothing is hidden from the last honest site when all the others collude.",
)


def write_report(run: Run) -> Path:
    """Write report.html into a run folder; return its path."""
    path = run.path / REPORT_FILE
    path.write_text(render(report_content(run)), encoding="utf-8")
    return path


def report_content(run: Run) -> ReportContent:
    """What the report of a run says.

    Read from result.json, run.json, study.toml and, after a simulation, the table of the sites'
    differences.
    """
    study = Study.load(run.path / "study.toml")
    exact, card = run.findings, run.card
    effects = tuple(effect_from_json(value) for value in exact["answers"]["effects"])
    return ReportContent(
        title=study.study.title or study.study.name,
        question=study.study.question,
        contact=study.study.contact,
        study_hash=exact["study_hash"],
        summary=tuple(effect.sentence for effect in effects),
        participants=_participants(run),
        differences=_differences(run.path),
        releases=_releases(card),
        graph=run.graph,
        tiers=study.knowledge.tiers,
        edges=tuple(_edge_row(edge, exact) for edge in run.graph.edges),
        model=_model(run),
        choices=_choices(run),
        effects=effects,
        units={name: spec.unit for name, spec in study.variables.items() if spec.unit},
        samples=_samples(run, study),
        counterfactuals=_cases(exact["answers"]),
        assumptions=_assumptions(study, exact, effects),
        limits=(*LIMITS, limit_sentence(card)),
        warnings=(*site_sentences(card), *_refusals(run), *_warnings(run)),
        ledger=_ledger(run),
        versions=card["versions"],
        seeds={"study": int(card["seed"])},
        command=card.get("command", ""),
    )


def _participants(run: Run) -> TableView:
    card = run.card
    rows = [(name, "site", "data, its own policy, its own ledger") for name in card["sites"]]
    rows += [
        (name, "site, dropped out", f"in no total: silent at {kind}")
        for name, kind in missing_sites(card).items()
    ]
    rows += [
        (one["site"], "site, set aside", f"in no total: {one['words']}")
        for one in card.get("set_aside", ())
    ]
    rows.append((card["steward"], "key steward", "holds the key, sees released totals only"))
    if card.get("second_steward"):
        rows.append((card["second_steward"], "second steward", "takes the pads off, sees no sum"))
    is_open = bool(card.get("robust"))
    holds = "reads each site's sums, signed" if is_open else "adds ciphertexts, has no key"
    rows.append(("coordinator", "aggregator", holds))
    records = run.findings["num_records"]
    own = "the coordinator knows each site's" if is_open else "a site's own number stays there"
    note = "" if records is None else f"{records} records in all; {own}."
    return TableView(columns=("party", "role", "holds"), rows=tuple(rows), note=note)


def _differences(folder: Path) -> TableView:
    """Only a simulation can show this table: it sees all sites' data."""
    path = folder / SITES_FILE
    if not path.is_file():
        return TableView()
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = [tuple(row) for row in content["rows"]]
    return TableView(columns=tuple(content["columns"]), rows=tuple(rows), note=content["note"])


def _releases(card: dict[str, Any]) -> TableView:
    """One row for each site and statistic: how many messages, how many bytes."""
    totals: dict[tuple[str, str], list[int]] = {}
    for transfer in card["transfers"]:
        for statistic, size in transfer["statistics"].items():
            entry = totals.setdefault((transfer["party"], statistic.partition("-")[0]), [0, 0])
            entry[0] += 1
            entry[1] += size
    rows = tuple((party, kind, n, size) for (party, kind), (n, size) in sorted(totals.items()))
    return TableView(
        columns=("site", "statistic", "messages", "bytes"),
        rows=rows,
        note=f"{_what_bytes_are(card)} Mode {hiding_sentence(card)}.",
    )


def _what_bytes_are(card: dict[str, Any]) -> str:
    if card.get("robust"):
        return "Every byte is part of one site's exact sums, eight for a number, signed."
    return "Every byte is a ciphertext of hidden integers, one vector about 66 kB at least."


def _edge_row(edge: Edge, exact: dict[str, Any]) -> EdgeRow:
    kind = _in_words(edge)
    pair = {edge.source, edge.target}
    votes = next((v for v in exact["votes"] or [] if set(v["pair"]) == pair), None)
    against = next((d for d in exact["disagreements"] if set(d["pair"]) == pair), None)
    disagreement = "" if against is None else _against(against, edge)
    return EdgeRow(
        source=edge.source,
        target=edge.target,
        kind=kind,
        probability=edge.probability,
        votes="" if votes is None else f"joined in {1 - votes['none']:.0%} of the sites' graphs",
        disagreement=disagreement,
    )


def _in_words(edge: Edge) -> str:
    """What the two marks say; a circle leaves a question open."""
    if edge.is_undirected:
        return "linked, direction not known"
    ends = (edge.source_mark, edge.target_mark)
    said = {
        (Mark.TAIL, Mark.ARROW): "causes",
        (Mark.ARROW, Mark.ARROW): "neither causes the other: a hidden common cause",
        (Mark.CIRCLE, Mark.ARROW): "is not caused by it: causes it, or shares a hidden cause",
    }.get(ends, "linked; a cause either way, or a hidden common cause")
    shares = (edge.source_mark_probability, edge.target_mark_probability)
    if None in shares:
        return said
    first, second = ("–" if share is None else f"{share:.2f}" for share in shares)
    return f"{said} ({edge.sign}; marks in {first} and {second} of resamples)"


def _against(disagreement: dict[str, Any], edge: Edge) -> str:
    if disagreement["adjacent"] <= 0.5:
        return "most of the sites' graphs do not join them"
    return f"most of the sites' graphs say {edge.target} -> {edge.source}"


def _model(run: Run) -> TableView:
    rows = tuple(
        (
            m["node"],
            MECHANISMS.get(m["kind"], "one of its own"),
            ", ".join(m["parents"]) or None,
            m["degree"],
            m["features"],
            m["records"],
            _between_sites(m["node"], run.findings),
        )
        for m in run.findings["mechanisms"]
    )
    flow = run.result["noised"].get("nodeflow")
    note = "Closed form, from family Grams; it answers the questions below."
    if flow is not None:
        private = "without differential privacy"
        if flow["epsilon"] is not None:
            private = f"with differential privacy, epsilon {flow['epsilon']:g}"
        note += (
            f" A neural flow of {flow['parameters']} parameters was trained beside it in "
            f"{flow['rounds']} rounds, {private}."
        )
    told = ("variable", "mechanism", "parents", "degree", "features", "complete records")
    columns = (*told, "between sites")
    if rows:
        note = " ".join((note, *open_sentence(open_at(run.dag, run.graph, run.dag.nodes))))
    return TableView(columns=columns, rows=rows, note=note if rows else "")


def _choices(run: Run) -> TableView:
    """Per variable the mean log density of each candidate over held-out records."""
    choices = run.findings.get("choices", [])
    names = list(dict.fromkeys(name for own in choices for name in own["log_likelihood"]))
    rows = tuple(
        (
            own["node"],
            *(_score(own["log_likelihood"].get(name)) for name in names),
            own["chosen"],
            own["records"],
        )
        for own in choices
    )
    return TableView(
        columns=("variable", *names, "chosen", "held-out records"), rows=rows, note=CHOICE
    )


def _score(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _between_sites(node: str, findings: dict[str, Any]) -> str:
    """What the sums over sites say of one mechanism: Cochran's Q of its slopes and its spread."""
    tests = [h for h in findings.get("heterogeneity", []) if h["child"] == node]
    if not tests:
        return "not compared"
    least = min(tests, key=lambda h: float(h["p_value"]))
    if node in findings.get("varying", {}):
        return f"differs: {', '.join(findings['varying'][node])}"
    return f"no difference found (least p = {least['p_value']:.2g} of {len(tests)})"


def _samples(run: Run, study: Study) -> TableView:
    answers = run.findings["answers"]
    if not answers["do_sample"]:
        return TableView()
    first = answers["effects"][0]
    names = tuple(f"do({first['treatment']} = {_shown(value)})" for value in first["values"])
    rows = tuple(
        (s["variable"], s["measure"], *(round(value, 4) for value in s["values"]))
        for s in answers["do_sample"]
    )
    note = f"{study.effects.samples} records drawn from the model under each action."
    chosen = open_sentence(open_at(run.dag, run.graph, [first["treatment"]]))
    return TableView(
        columns=("variable", "measure", *names), rows=rows, note=" ".join((note, *chosen))
    )


def _cases(answers: dict[str, Any]) -> tuple[CounterfactualCase, ...]:
    imagined = answers["counterfactual"]
    if imagined is None:
        return ()
    action = ", ".join(f"{name} = {_shown(value)}" for name, value in imagined["do"].items())
    rows = tuple(
        (name, _cell(was), _cell(imagined["counterfactual"][name]), differs)
        for name, was in imagined["factual"].items()
        for differs in [imagined["counterfactual"][name] != was]
    )
    note = "Assumes " + "; ".join(text.rstrip(".") for text in imagined["assumptions"]) + "."
    return (CounterfactualCase(name=imagined["name"], action=action, rows=rows, note=note),)


def _assumptions(
    study: Study, exact: dict[str, Any], effects: tuple[EffectEstimate, ...]
) -> tuple[str, ...]:
    general = (
        f"The graph is the best by this objective: {exact['objective']}.",
        "Values are missing completely at random within a site.",
        IN_TABLES if study.discovery.tests == "tables" else IN_THE_BASIS,
    )
    specific = dict.fromkeys(text for effect in effects for text in effect.assumptions)
    return (*general, *specific)


def _refusals(run: Run) -> tuple[str, ...]:
    refused = tuple(f"No answer to {r['key']}: {r['reason']}." for r in run.refused)
    return (*refused, *(f"{told_at_site(one)}." for one in run.at_sites))


def _warnings(run: Run) -> tuple[str, ...]:
    exact = run.findings
    left_out = [
        f"The graph does without {label}: {reason}."
        for label, reason in exact["dropped"]
        if reason != REFERENCE
    ]
    mechanisms = [
        f"The mechanism of {m['node']} does without {', '.join(m['left_out'])}: too few records "
        "to show, or no variation."
        for m in exact["mechanisms"]
        if m["left_out"]
    ]
    unseen = [_left_open(d) for d in exact["disagreements"] if d["merged"] == "none"]
    return (*exact["notes"], *left_out, *mechanisms, *unseen[:MAX_DISAGREEMENTS])


def _left_open(disagreement: dict[str, Any]) -> str:
    """A pair that the graph does not join, although one of its two sources does."""
    pair = " and ".join(disagreement["pair"])
    share = f"{disagreement['adjacent']:.0%} of the sites' graphs"
    if disagreement["pooled"] == "none":
        return f"{pair} are not joined by the pooled sums; {share} join them."
    return f"{pair} are joined by the pooled sums and in {share}; together they are not."


def _ledger(run: Run) -> tuple[LedgerRow, ...]:
    card = run.card
    return tuple(
        LedgerRow(
            site=site,
            part=part["part"],
            epsilon=part["epsilon"],
            delta=part["delta"],
            protection=part["sentence"],
        )
        for site in card["sites"]
        for part in card["privacy"]
    )


def _cell(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f"{value:.5g}")


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
