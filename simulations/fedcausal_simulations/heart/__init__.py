"""UCI heart disease at its four hospitals: the data of the demo (citation in README.md)."""

from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from fedcausal.study import Study

__all__ = ["SITE_COLUMN", "load_hospitals", "load_study"]

SITE_COLUMN = "dataset"


def load_hospitals() -> dict[str, pd.DataFrame]:
    """The rows of each hospital, as published, with `disease` (0/1) for an angiographic grade > 0.

    Returns
    -------
    dict
        Hospital name -> frame; 920 rows in all. Values that mean "missing" (a blood pressure of
        0) are left as they are: the study declares them.
    """
    with as_file(files(__package__) / "heart_disease_uci.csv") as path:
        rows = pd.read_csv(path)
    rows["disease"] = (rows["num"] > 0).astype(int)
    parts = rows.groupby(SITE_COLUMN, sort=True)
    return {
        str(name): part.drop(columns=SITE_COLUMN).reset_index(drop=True) for name, part in parts
    }


def load_study() -> Study:
    """The demo study: variables that all four hospitals observed, tiers, one effect query."""
    with as_file(files(__package__) / "study.toml") as path:
        return Study.load(Path(path))
