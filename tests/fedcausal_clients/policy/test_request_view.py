import datetime

import pytest

from fedcausal.errors import InputError
from fedcausal_clients.daemon.home import write_coordinator
from fedcausal_clients.home import open_home
from fedcausal_clients.policy.consent import note_request
from fedcausal_clients.policy.request_view import (
    list_lines,
    request_lines,
    request_view,
    request_views,
)
from fedcausal_privacy.keys.certificates import certificate_fingerprint, make_authority
from fedcausal_privacy.keys.enrolment import Invitation
from fedcausal_simulations.workspace import prepare_workspace


@pytest.fixture
def home(tmp_path, study):
    rows = {"age": list(range(20, 60)), "dose": [1.0] * 40}
    tables = dict.fromkeys(("north", "south", "west"), rows)
    return prepare_workspace(study, tables, tmp_path / "work", seed=1) / "north"


def ask(folder, study, text=None):
    with open_home(folder) as home:
        note_request(home.store, home.gate.audit, study, text or study.to_toml(), "r")


def test_what_an_operator_sees(home, new_study):
    study = new_study(
        study={"name": "pills", "question": "Do they\x1b[2J help?\n" * 9, "contact": "me@north"},
        privacy={"min_cell": 9},
    )
    ask(home, study)
    (view,) = request_views(home)
    assert (view.state, view.mark) == ("waiting", request_view(home, study.hash()).mark)
    lines = request_lines(view)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text
    for words in (study.hash(), view.mark, "me@north (as the study says)", "fewer than 9 records"):
        assert words in text
    for kind in ("gram", "votes", "families", "residuals"):
        assert f"\n{kind}" in text
    assert text.endswith("before:\nnothing")
    assert list_lines([view], brief=True) == [f"{view.mark} waiting"]
    assert "pills" in "".join(list_lines([view]))


def test_who_asks_is_the_coordinator_that_was_joined(home, study):
    authority, _ = make_authority("c", now=datetime.datetime.now(datetime.UTC))
    invitation = Invitation(
        address="causal.example.org:8443",
        authority=authority.decode(),
        name="north",
        role="site",
        token="t",
        expires=1.0,
    )
    ask(home, study)
    assert "asked by" not in "\n".join(request_lines(request_view(home, study.hash())))
    write_coordinator(home, invitation)
    view = request_view(home, study.hash())
    mark = certificate_fingerprint(authority)
    text = " ".join(" ".join(request_lines(view)).split())
    assert f"asked by causal.example.org:8443, authority {mark}" in text
    shown = view.to_json()
    assert (shown["coordinator"], shown["authority"]) == ("causal.example.org:8443", mark)


def test_a_robust_study_says_that_it_is_this_site_s_own_sums(home, new_study):
    study = new_study(
        discovery={"votes": False},
        privacy={"incomplete": "drop"},
        model={"knots": 0},
        federation={"robust": 1},
    )
    ask(home, study)
    text = " ".join(" ".join(request_lines(request_view(home, study.hash()))).split())
    assert "What leaves OPEN, as sums over THIS SITE'S rows alone" in text
    assert "sums of this site alone" in text
    assert "masked and encrypted" not in text
    assert "residuals" not in text


def test_a_study_of_the_policys_list_is_approved(home, study):
    ask(home, study)
    assert request_views(home)[0].state == "approved"


def test_a_study_that_this_version_cannot_read_is_shown_as_such(home, study):
    ask(home, study, "nonsense = 1\n")
    (view,) = request_views(home)
    assert view.study is None
    assert "unreadable" in "\n".join(request_lines(view))
    assert view.to_json()["fault"]


def test_an_unknown_request(home):
    with pytest.raises(InputError, match="no study 'x' asked"):
        request_view(home, "x")
    assert list_lines(request_views(home)) == ["no study has asked yet"]
