import pytest

from fedcausal.errors import InputError, StudyError
from fedcausal.study import Study
from fedcausal_clients.site_config import SiteConfig
from fedcausal_simulations.workspace import prepare_workspace, read_nodes, site_names


def test_a_workspace_holds_what_every_node_reads(tmp_path, study, tables):
    folder = prepare_workspace(study, tables, tmp_path / "w", seed=5, policy={"min_rows": 10})
    assert [(n.name, n.role) for n in read_nodes(folder)] == [
        ("north", "site"),
        ("south", "site"),
        ("west", "site"),
        ("steward", "steward"),
    ]
    assert Study.load(folder / "study.toml").hash() == study.hash()
    north = SiteConfig.load(folder / "north")
    assert north.policy.min_rows == 10
    assert north.policy.approved == (study.hash(),)
    assert set(north.trust) == {"south", "west", "steward"}
    assert SiteConfig.load(folder / "steward").site.role == "steward"
    for name in ("north", "steward"):
        assert (folder / name / "state" / "identity.pem").stat().st_mode & 0o777 == 0o600


def test_a_wrong_policy_is_refused_before_anything_runs(tmp_path, study, tables):
    with pytest.raises(StudyError, match=r"policy.min_row: unknown key"):
        prepare_workspace(study, tables, tmp_path / "w", seed=1, policy={"min_row": 3})


def test_a_folder_in_use_and_too_few_sites(tmp_path, study, tables):
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match="a new or an empty folder"):
        prepare_workspace(study, tables, tmp_path, seed=1)
    tables.pop("north")
    with pytest.raises(StudyError, match="expected 3 sites"):
        prepare_workspace(study, tables, tmp_path / "w", seed=1)


@pytest.mark.parametrize("labels", [["a b", "a_b"], ["A", "a"], ["steward", "b"], ["Ü", "x"]])
def test_names_that_become_the_same_are_refused(labels):
    with pytest.raises(InputError, match=r"rename (one|it|the site)"):
        site_names(labels)


def test_not_a_workspace(tmp_path):
    with pytest.raises(InputError, match="not a workspace"):
        read_nodes(tmp_path)
