"""What a command prints."""

import json

import pytest

from fedcausal.console import Format, emit, fail, table


def test_an_answer_is_lines_or_one_envelope(capsys):
    emit({"café": 1.5}, ["one", "two"], Format.TEXT)
    assert capsys.readouterr().out == "one\ntwo\n"
    emit({"café": 1.5}, ["one", "two"], Format.JSON)
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "schema_version": 1,
        "status": "ok",
        "exit_code": 0,
        "data": {"café": 1.5},
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_goes_where_it_belongs(capsys, as_json):
    assert fail("no", 4, as_json=as_json, kind="InputError") == 4
    said = capsys.readouterr()
    if as_json:
        answer = json.loads(said.out)
        assert (answer["status"], answer["exit_code"]) == ("error", 4)
        assert (answer["error_code"], answer["message"]) == ("InputError", "no")
    else:
        assert (said.out, said.err) == ("", "error: no\n")


def test_columns_are_aligned():
    lines = table(("a", "long"), [("wide cell", "x"), ("", "y")])
    assert lines == ["  a          long", "  wide cell  x", "             y"]


def test_an_answer_may_be_bad_news(capsys):
    emit({"ready": False}, ["not ready"], Format.JSON, exit_code=4)
    envelope = json.loads(capsys.readouterr().out)
    assert (envelope["status"], envelope["exit_code"]) == ("error", 4)
    assert envelope["data"] == {"ready": False}
