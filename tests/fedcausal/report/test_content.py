import pytest

from fedcausal.errors import InputError
from fedcausal.report.content import LedgerRow, ReportContent, TableView


def test_a_table_knows_its_numeric_columns():
    view = TableView(columns=("site", "n", "m"), rows=(("a", 3, None), ("b", "<5", None)))
    assert view.numeric_columns == (False, True, False)


def test_ragged_tables_are_refused():
    with pytest.raises(InputError, match="2 columns"):
        TableView(columns=("a", "b"), rows=((1,),))


def test_the_ledger_says_what_has_no_privacy_and_what_epsilon_means():
    assert "No differential privacy" in LedgerRow(site="a", part="graph", epsilon=None).sentence
    sentence = LedgerRow(site="a", part="model", epsilon=3.0, delta=1e-5).sentence
    assert "e^3" in sentence
    assert "1e-05" in sentence


def test_a_title_is_enough():
    assert ReportContent(title="t").effects == ()
