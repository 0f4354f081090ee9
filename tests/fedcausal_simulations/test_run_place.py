import pytest

from fedcausal.errors import InputError
from fedcausal.study import Study
from fedcausal_simulations.run_place import claimed, publish, scratch_folder


@pytest.fixture
def study():
    return Study.model_validate(
        {
            "study": {"name": "s"},
            "variables": {"x": {"kind": "continuous"}, "y": {"kind": "binary"}},
        }
    )


def test_a_run_that_fails_leaves_no_folder(tmp_path, study):
    with pytest.raises(ZeroDivisionError), claimed(study, tmp_path / "out"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused(tmp_path, study):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="empty folder"), claimed(study, tmp_path):
        pass


def test_the_result_comes_last(tmp_path, study):
    with claimed(study, tmp_path / "out") as folder, scratch_folder(folder) as scratch:
        partial = scratch / "run"
        partial.mkdir()
        for name in ("result.json", "run.json"):
            (partial / name).write_text("{}")
        publish(partial, folder)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["result.json", "run.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
