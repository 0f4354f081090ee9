"""Only what is installed is found, by its name and version."""

import pytest

from fedcausal.errors import InputError
from fedcausal.model.own_entry_points import check_installed, installed_names, load_own
from tests.own_package import install


def test_nothing_is_installed_as_it_stands():
    with pytest.raises(InputError, match=r"y: no mechanism 'x' is installed here \(installed: n"):
        check_installed("x", "y")


def test_an_installed_mechanism_is_found(tmp_path, monkeypatch):
    package = install(tmp_path, monkeypatch)
    assert "log-linear" in installed_names()
    check_installed("log-linear", "here")
    assert load_own("log-linear", "1", "here") is package.LogLinear


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("log-lin", "1", r"here: no mechanism 'log-lin' .*installed: .*log-linear"),
        ("log-linear", "2", "here: version '2' of the mechanism 'log-linear' is wanted, and '1'"),
        ("no-mechanism", "1", "here: what is installed as 'no-mechanism' is no class"),
        ("not-there", "1", r"here: .*'not-there' cannot be imported \(AttributeError\)"),
        ("own_example:LogLinear", "1", "no mechanism 'own_example:LogLinear'"),
    ],
)
def test_anything_else_is_refused_with_a_word(tmp_path, monkeypatch, name, version, words):
    install(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=words):
        load_own(name, version, "here")


def test_two_packages_of_one_name_are_one_too_many(tmp_path, monkeypatch):
    install(tmp_path / "a", monkeypatch, "own_a", {"same": "LogLinear"})
    install(tmp_path / "b", monkeypatch, "own_b", {"same": "LogLinear"})
    with pytest.raises(InputError, match="2 installed packages offer a mechanism 'same'"):
        check_installed("same", "here")
