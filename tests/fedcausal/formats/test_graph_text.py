"""The shared grammar."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcausal.errors import GraphError
from fedcausal.formats.graph_text import Statement, parse_statements, quote


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_quoted_name_comes_back(names):
    text = "dag {" + " -> ".join(quote(name) for name in names) + "}"
    _, statements = parse_statements(text, source="test", keywords={"dag"})
    assert statements == [Statement(names=tuple(names), signs=("->",) * (len(names) - 1))]


def test_attributes_flags_and_comments():
    text = 'DAG g { a [flag, key="1,2"; other=3] /* no\nmore */ ; b--c }'
    keyword, statements = parse_statements(text, source="test", keywords={"dag"})
    assert keyword == "dag"
    assert statements == [
        Statement(names=("a",), attributes={"flag": None, "key": "1,2", "other": "3"}),
        Statement(names=("b", "c"), signs=("--",)),
    ]


def test_errors_name_the_source_and_the_line():
    with pytest.raises(GraphError, match="survey: line 2"):
        parse_statements("dag {\n ( }", source="survey", keywords={"dag"})
