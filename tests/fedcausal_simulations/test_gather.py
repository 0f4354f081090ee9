"""What a simulation may gather: every party's audit lines and ledger, whole and in order."""

import json

import pytest

from fedcausal.data.comparison import compare_sites
from fedcausal_clients.app import app as client_app
from fedcausal_privacy.canonical import canonical_json, sha256_hex
from fedcausal_server.app import app as server_app
from fedcausal_simulations.gather import gather_site_records, write_differences
from fedcausal_simulations.inprocess import run_inprocess
from fedcausal_simulations.workspace import prepare_workspace

PARTIES = ("north", "south", "west", "steward")


@pytest.fixture
def workspace(tmp_path, toy, study, tables):
    return prepare_workspace(study, tables, tmp_path / "work", seed=1)


def test_audit_lines_keep_their_chain_under_the_partys_name(tmp_path, workspace):
    out = tmp_path / "out"
    run_inprocess(server_app, client_app, workspace, out, 1)
    gather_site_records(workspace, out)
    lines = [json.loads(line) for line in (out / "audit.jsonl").read_text().splitlines()]
    for party in PARTIES:
        own = [{k: v for k, v in line.items() if k != "party"} for line in lines]
        own = [line for line, full in zip(own, lines, strict=True) if full["party"] == party]
        log = (workspace / party / "audit.jsonl").read_bytes().splitlines()
        assert [canonical_json(line) for line in own] == log
        hashes = ["0" * 64, *(sha256_hex(line) for line in log)]
        assert [line["prev"] for line in own] == hashes[:-1]


def test_ledgers_name_every_release_and_the_steward_has_none(tmp_path, workspace):
    out = tmp_path / "out"
    run_inprocess(server_app, client_app, workspace, out, 1)
    gather_site_records(workspace, out)
    ledgers = json.loads((out / "ledger.json").read_text())
    assert set(ledgers) == set(PARTIES) - {"steward"}
    for entries in ledgers.values():
        assert [entry["release"].partition("/")[0] for entry in entries] == ["1", "1", "2"]
        assert all(entry["event"]["event"] == "no-privacy" for entry in entries)


def test_parties_that_did_nothing_leave_empty_files(tmp_path, workspace):
    (tmp_path / "out").mkdir()
    gather_site_records(workspace, tmp_path / "out")
    assert (tmp_path / "out" / "audit.jsonl").read_text() == ""
    assert json.loads((tmp_path / "out" / "ledger.json").read_text()) == {}


def test_the_differences_are_a_table_of_words_without_values(tmp_path, study, tables):
    tables["west"]["dose"] = 4.321
    write_differences(compare_sites(study.schema(), tables), tmp_path)
    text = (tmp_path / "sites.json").read_text()
    content = json.loads(text)
    assert content["columns"] == ["variable", "north", "south", "west"]
    assert [row[0] for row in content["rows"]] == ["age", "dose"]
    assert content["rows"][1][-1] == "constant"
    assert "4.321" not in text
