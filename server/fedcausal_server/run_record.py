"""The run card, and the run folder that it goes with."""

from pathlib import Path

from fedcausal.report.run_card import run_card as versions
from fedcausal.report.story import write_report
from fedcausal.results.privacy_statement import privacy_statements
from fedcausal.results.run import load_run
from fedcausal.results.run_folder import write_run_folder
from fedcausal.study import Study
from fedcausal_privacy.canonical import JsonValue, fingerprint
from fedcausal_server.workflow import StudyOutcome

__all__ = ["run_card", "write_run"]


def write_run(outcome: StudyOutcome, study: Study, out: Path, *, seed: int) -> None:
    """Write the whole run folder: result, graph, model, run card, report."""
    write_run_folder(outcome.state, out, card=run_card(outcome, study, seed=seed))
    write_report(load_run(out))


def run_card(outcome: StudyOutcome, study: Study, *, seed: int) -> dict[str, JsonValue]:
    """Hashes, parties, versions, seed, privacy and bytes of a run."""
    digest, delta = study.hash(), study.privacy.delta
    return {
        "run_id": outcome.run_id,
        "study": {
            "name": study.study.name,
            "hash": digest,
            "fingerprint": fingerprint(digest),
            "schema_hash": study.schema().digest(),
        },
        "seed": seed,
        "sites": list(outcome.sites),
        "steward": outcome.steward,
        "second_steward": outcome.second_steward,
        "mode": study.privacy.mode,
        "dropouts": [
            {
                "site": lost.site,
                "kind": lost.kind,
                "round": lost.round,
                "attempt": lost.attempt,
                "came_back": lost.site in outcome.sites,
            }
            for lost in outcome.dropouts
        ],
        "robust": study.federation.robust,
        "set_aside": [one.to_json() for one in outcome.set_aside],
        "rounds": outcome.num_rounds,
        "replayed_rounds": outcome.num_replayed,
        "privacy": [
            {**statement.to_json(), "delta": None if statement.epsilon is None else delta}
            for statement in privacy_statements(study, steps=outcome.state.steps)
        ],
        "versions": dict(versions()),
        "transfers": [
            {
                "party": transfer.party,
                "kind": transfer.kind,
                "sent": transfer.sent,
                "received": transfer.received,
                "statistics": dict(transfer.statistics),
            }
            for transfer in outcome.transfers
        ],
    }
