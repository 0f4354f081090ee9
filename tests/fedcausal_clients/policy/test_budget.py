import pytest

from fedcausal.errors import InputError
from fedcausal.statistics.registry import KINDS
from fedcausal_clients.home import LEDGER_FILE, STATE_FOLDER
from fedcausal_clients.policy.budget import budget_lines, budget_view
from fedcausal_privacy.canonical import fingerprint
from fedcausal_privacy.dp.accountant import epsilon_of
from fedcausal_privacy.dp.events import GaussianRelease, NoPrivacy
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_simulations.workspace import prepare_workspace

EVENT = GaussianRelease(sensitivity=2.0, noise_multiplier=4.0, name="noisy_gram")


@pytest.fixture
def home(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [1.0] * 40}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    policy = {"max_epsilon": 5.0}
    return prepare_workspace(study, tables, tmp_path / "work", seed=1, policy=policy) / "north"


def _charge(home, study, release, event):
    with Ledger(home / STATE_FOLDER / LEDGER_FILE) as ledger:
        ledger.charge(
            event, study=study, run="r", release=release, part="graph", description="noisy_gram"
        )


def test_an_untouched_site_has_all_of_its_budget(home):
    view = budget_view(home)
    assert (view.spent, view.left, view.releases) == (0.0, 5.0, ())
    assert "north: epsilon 0 spent at delta 1e-05, 5 of 5 left" in budget_lines(view)


def test_what_when_for_which_study_at_what_cost_and_what_is_left(home):
    first, second = "a" * 64, "b" * 64
    _charge(home, first, "1", EVENT)
    _charge(home, second, "2", EVENT)
    _charge(home, second, "3", NoPrivacy(name="families"))
    view = budget_view(home)
    both = epsilon_of([EVENT, EVENT], 1e-5)
    assert view.spent == both
    assert view.left == pytest.approx(5.0 - both)
    assert view.spent_by_study[fingerprint(first)] == epsilon_of([EVENT], 1e-5)
    assert [line.epsilon is None for line in view.releases] == [False, False, True]
    text = "\n".join(budget_lines(view))
    assert "1 releases without differential privacy" in text
    assert f"study {fingerprint(first)}: epsilon" in text
    assert view.releases[0].when[:19] in text
    assert len(budget_lines(view, brief=True)) == 2


def test_a_steward_has_no_budget(home):
    with pytest.raises(InputError, match="a steward has no data"):
        budget_view(home.parent / "steward")


def test_every_line_fits_into_80_columns(home):
    """All kinds that there are, with the longest things that are said of a release."""
    for number, kind in enumerate(sorted(KINDS)):
        with Ledger(home / STATE_FOLDER / LEDGER_FILE) as ledger:
            ledger.charge(
                EVENT if number % 2 else NoPrivacy(name=kind),
                study=str(number % 3) * 64,
                run="r",
                release=str(number),
                part=KINDS[kind].part,
                description=f"{kind}; noise lost in a crash, drawn again; about 7 values of 'age' "
                "changed since a release before",
            )
    lines = budget_lines(budget_view(home))
    assert max(map(len, lines)) <= 80
    assert all(any(kind in line for line in lines) for kind in KINDS)
    assert any("effects" in line for line in lines)
    assert "left" in lines[0]
