"""Attacks that are known to work on sums: each succeeds without the defence and fails with it."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from torch import nn

from fedcausal.data.sources import read_source
from fedcausal.data.table import Table
from fedcausal.errors import DataError
from fedcausal.moments.basis import UNIT, Basis
from fedcausal.statistics.gram_kind import GramKind, gram_request
from fedcausal.statistics.gram_layout import PooledLayout
from fedcausal.statistics.kind import Request
from fedcausal.study import Study
from fedcausal_privacy.disclosure.cell_rule import apply_cell_rule
from fedcausal_privacy.dp.accountant import noise_multiplier_for
from fedcausal_privacy.dp.training import train_plain, train_private
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import attempts, steward
from fedcausal_privacy.statistic_spec import CountTable, StatisticSpec

POOLED = {
    "variables": {
        "age": {"kind": "continuous", "bounds": [0, 128]},
        "dose": {"kind": "continuous", "bounds": [0, 16]},
    },
    "discovery": {"site_effects": "pool", "votes": False},
}
HALF = UNIT // 2  # integers per half of a declared range
GRAM = gram_request()
RNG = np.random.default_rng(11)


def pooled_study(**changes):
    return Study.model_validate({**POOLED, **changes})


def rows(num_rows, seed):
    rng = np.random.default_rng(seed)
    age, dose = rng.integers(20, 100, num_rows), rng.integers(0, 16, num_rows)
    return pd.DataFrame({"age": age + 0.5, "dose": dose + 0.25})


def vector_of(study, frame):
    source = read_source(pa.Table.from_pandas(frame), study.schema(), site="x")
    return GramKind().compute(study, GRAM, source, RNG)


def layout_of(study):
    return PooledLayout(Basis.legendre(study.schema(), study.degrees(), {}))


def one_record(study, vector):
    """The record whose own pooled vector this is, in declared units."""
    layout = layout_of(study)
    scaled = layout.values.diagonal()
    return [
        (lo + hi) / 2 + (hi - lo) / 2 * vector[scaled[i]] / HALF
        for i, (lo, hi) in enumerate(v.bounds for v in study.schema())
    ]


def replace_rows(coordinator, site, frame):
    pq.write_table(pa.Table.from_pandas(frame), coordinator.workspace / site / "data.parquet")


def test_the_row_of_one_record_is_read_from_its_sums(new_coordinator):
    """Off: to all digits. On: a site with one record takes no part, and nothing is charged."""
    study, alone = pooled_study(), rows(1, 4)
    assert one_record(study, vector_of_one(study, *alone.loc[0])) == alone.loc[0].tolist()
    with pytest.raises(DataError, match="expected 2 to"):
        GramKind().compute(study, GRAM, Table(study.schema(), alone.to_numpy()), RNG)

    tables = {"north": alone, "south": rows(60, 2), "west": rows(60, 3)}
    coordinator = new_coordinator(study, tables)
    assert coordinator.greet()["north"].header["refusal"] == "too-few-rows"
    assert coordinator.ledger("north") == ()


def test_rows_of_two_records_are_solved_from_their_sums(new_coordinator):
    """Off: exact. On: a site with fewer than min_rows records takes no part."""
    study, few = pooled_study(), rows(2, 1)
    vector, layout = vector_of(study, few), layout_of(study)
    mean = vector[layout.values.diagonal()] / 2 / HALF
    second = vector[layout.products].astype(float) / 2 / HALF**2
    values, directions = np.linalg.eigh(second - np.outer(mean, mean))
    spread = directions[:, -1] * math.sqrt(values[-1])
    solved = np.array([mean + spread, mean - spread])
    scaled = np.column_stack([few["age"] / 64 - 1, few["dose"] / 8 - 1])
    order = np.lexsort(solved.T), np.lexsort(scaled.T)
    assert np.abs(solved[order[0]] - scaled[order[1]]).max() < 1e-5

    tables = {"north": few, "south": rows(60, 2), "west": rows(60, 3)}
    assert new_coordinator(study, tables).greet()["north"].header["refusal"] == "too-few-rows"


@pytest.mark.parametrize("differencing", ["warn", "refuse"])
def test_all_rows_but_one(new_coordinator, tools, differencing):
    """The same statistic before and after one patient left; off: the record to all digits."""
    study = pooled_study()
    tables = {site: rows(60, i) for i, site in enumerate(tools.sites)}
    coordinator = new_coordinator(study, tables, differencing=differencing).open()
    before = coordinator.total(GRAM).totals
    replace_rows(coordinator, "north", tables["north"].drop(index=17))
    coordinator.begin("later")
    coordinator.open()
    if differencing == "refuse":
        assert tools.code(coordinator.upload(GRAM)["north"]) == "rows-changed-little"
        return
    stolen = one_record(study, before - coordinator.total(GRAM).totals)
    assert stolen == tables["north"].loc[17].tolist()
    assert any(line["event"] == "warned" for line in coordinator.audit("north"))


def test_a_record_exchanged_for_another(new_coordinator, tools):
    """As many rows as before, one of them new: only the values tell."""
    study = pooled_study()
    tables = {site: rows(60, i) for i, site in enumerate(tools.sites)}
    coordinator = new_coordinator(study, tables).open()
    coordinator.total(GRAM)
    changed = tables["north"].copy()
    changed.loc[17] = [31.5, 3.25]
    replace_rows(coordinator, "north", changed)
    coordinator.begin("later")
    coordinator.open()
    assert tools.code(coordinator.upload(GRAM)["north"]) == "rows-changed-little"


@pytest.mark.parametrize("differencing", ["warn", "refuse"])
def test_a_second_study_that_calls_one_value_missing(new_coordinator, tools, differencing):
    """The subset attack without a filter: the coordinator's study drops a record of its choice."""
    study = pooled_study()
    tables = {site: rows(60, i) for i, site in enumerate(tools.sites)}
    victim = tables["north"].loc[17].tolist()
    tables["north"].loc[17, "age"] = victim[0] = 127.5
    age = {**POOLED["variables"]["age"], "missing": [127.5]}
    second = pooled_study(variables={**POOLED["variables"], "age": age})
    coordinator = new_coordinator(study, tables, differencing=differencing).open()
    before = coordinator.total(GRAM).totals
    for site in tools.sites:
        path = coordinator.workspace / site / "site.toml"
        approved = f'"{study.hash()}", "{second.hash()}"'
        path.write_text(path.read_text().replace(f'"{study.hash()}"', approved))
    coordinator.study = second
    coordinator.begin("second")
    coordinator.open()
    if differencing == "refuse":
        assert tools.code(coordinator.upload(GRAM)["north"]) == "rows-changed-little"
        return
    gap = before - coordinator.total(GRAM).totals
    layout = layout_of(study)
    dose = gap[layout.values[1, 0]] / HALF
    assert 8 + 8 * dose == victim[1]


FOUR = ("a", "b", "c", "d")


@pytest.fixture
def everyone(new_coordinator):
    """A run over four sites that is over, and what each site's vector was."""
    study = pooled_study()
    tables = {site: rows(60, i) for i, site in enumerate(FOUR)}
    vectors = {site: vector_of(study, frame) for site, frame in tables.items()}
    coordinator = new_coordinator(study, tables).open()
    totals = coordinator.total(GRAM).totals
    assert np.array_equal(totals, sum(vectors.values()))
    coordinator.all(Message(kind="query.close"))
    return coordinator, totals, vectors


def without_d(coordinator):
    coordinator.sites = FOUR[:3]
    coordinator.begin("fewer")
    return coordinator


def relabel_rows(coordinator, sites, version):
    for site in sites:
        path = coordinator.workspace / site / "site.toml"
        path.write_text(path.read_text().replace("[data]", f'[data]\nversion = "{version}"'))


def test_totals_of_two_rosters(everyone, tools, monkeypatch):
    """Off: the difference is the vector of the site that left. On: sites and steward refuse."""
    coordinator, totals, vectors = everyone
    refused = without_d(coordinator).all(coordinator.freeze_message())
    assert tools.codes(refused) == {"protocol"}
    for site in coordinator.sites:
        lines = [line for line in coordinator.audit(site) if line["event"] == "protocol"]
        assert "would show fewer than 3 sites" in lines[-1]["details"]["reason"]

    monkeypatch.setattr(attempts, "check_atoms", lambda *_, **__: None)
    coordinator.begin("careless-sites")
    replies = coordinator.open().upload(GRAM)
    assert tools.codes(replies) == {None}
    (post,) = coordinator.take(replies)
    assert tools.code(coordinator.say("steward", post.message)) == "protocol"

    monkeypatch.setattr(steward, "check_atoms", lambda *_, **__: None)
    coordinator.begin("careless-everybody")
    fewer = coordinator.open().total(GRAM).totals
    assert np.array_equal(totals - fewer, vectors["d"])


def test_rosters_are_remembered_by_the_version_of_the_data(everyone, tools):
    """Other rows under a new label begin anew; one site's label alone changes nothing for it."""
    coordinator, _, vectors = everyone
    relabel_rows(coordinator, "d", "2")
    refused = without_d(coordinator).all(coordinator.freeze_message())
    assert tools.codes(refused) == {"protocol"}
    relabel_rows(coordinator, "abc", "2")
    coordinator.begin("relabelled")
    fewer = coordinator.open().total(GRAM).totals
    assert np.array_equal(fewer, sum(vectors[site] for site in "abc"))


def test_many_copies_of_one_row(new_coordinator, tools):
    """Padding a record with copies of another passes min_rows; the squares are the record's."""
    study = pooled_study()
    copies = pd.DataFrame({"age": [40.5] * 59 + [88.5], "dose": [4.25] * 60})
    vector = vector_of(study, copies) - 59 * vector_of_one(study, 40.5, 4.25)
    assert one_record(study, vector) == [88.5, 4.25]

    tables = {"north": copies, "south": rows(60, 2), "west": rows(60, 3)}
    open_to_all = new_coordinator(study, tables, max_dominance=1.0).open()
    assert tools.codes(open_to_all.upload(GRAM)) == {None}
    coordinator = new_coordinator(study, tables).open()
    reply = coordinator.upload(GRAM)["north"]
    assert (tools.code(reply), reply.header["where"]) == ("dominated", "gram")


def vector_of_one(study, age, dose):
    two = vector_of(study, pd.DataFrame({"age": [age] * 2, "dose": [dose] * 2}))
    return two // 2


def test_an_indicator_of_one_record(new_coordinator, tools):
    """Residual bins laid around one value: off, the bin counts 1; on, it is withheld."""
    study = pooled_study(model={"residual_bins": 8})
    tables = {site: rows(60, i) for i, site in enumerate(tools.sites)}
    tables["north"].loc[17, "age"] = 111.75
    centre = 111.75 / 64 - 1
    narrow = {"age": {"coefficients": [centre], "sd": 1e-3}}
    request = Request(
        kind="residuals",
        parameters={"nodes": ["age"], "edges": [], "ranges": {}, "means": narrow},
    )
    coordinator = new_coordinator(study, tables).open()
    released = coordinator.total(request)
    ages = np.concatenate([t["age"] for t in tables.values()])
    inside = np.abs(ages / 64 - 1 - centre) < 4e-3
    assert inside.sum() == 1
    assert released.withheld[1:-1].any()
    assert not np.any((released.totals > 0) & (released.totals < 5))


def test_small_cells_follow_from_totals_unless_they_have_partners():
    counts = np.array([[2, 30, 28], [40, 25, 35]])
    table = CountTable(cells=tuple(range(6)), shape=counts.shape)
    spec = StatisticSpec(name="t", length=6, bound=10**6, min_cell=5, tables=(table,))
    hidden_alone = counts[0].sum() - counts[0, 1] - counts[0, 2]
    assert hidden_alone == counts[0, 0] == 2

    withheld = apply_cell_rule(counts.ravel(), spec).withheld
    cells = np.arange(6).reshape(2, 3)
    margins = [np.isin(range(6), line) for line in (*cells, *cells.T)]
    known = np.array([*margins, *np.eye(6)[~withheld]], dtype=float)
    more = np.vstack([known, np.eye(6)[0]])
    assert np.linalg.matrix_rank(more) > np.linalg.matrix_rank(known)


class SeededNoise:
    """Stands in for the secure source, whose law has its own test: a bound on a mean must hold."""

    def uniform(self, size):
        return RNG.random(size)

    def normal(self, size):
        return RNG.standard_normal(size)


class Line(nn.Module):
    """A linear model with its squared error: the smallest one that a gradient gives away."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, 1)

    def forward(self, batch):
        return (self.layer(batch[:, :-1]).squeeze(1) - batch[:, -1]).square()


def step_from(batch, noise_multiplier=None):
    """What one step at learning rate 1 changes, (weight, bias)."""
    torch.manual_seed(3)
    model = Line(batch.shape[1] - 1)
    start = [p.detach().clone() for p in model.parameters()]
    options = {
        "sample_rate": 1.0,
        "steps": 1,
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    }
    if noise_multiplier is None:
        train_plain(model, lambda m, b: m(b), batch, uniform=RNG.random, **options)
    else:
        train_private(
            model,
            lambda m, b: m(b),
            batch,
            rules={},
            noise_multiplier=noise_multiplier,
            clip=1.0,
            expected_batch_size=1.0,
            noise=SeededNoise(),
            **options,
        )
    return [
        (b.detach() - a).numpy().ravel() for a, b in zip(start, model.parameters(), strict=True)
    ]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_gradient_inversion_of_a_single_row():
    """Off: the row to 1e-5. On: no closer than its clipped gradient in the noise allows."""
    width, trials, noise = 20, 40, noise_multiplier_for(3.0, 1e-5)
    batch = torch.randn(1, width + 1, generator=torch.Generator().manual_seed(5))
    row = batch[0, :-1].numpy()
    weight, bias = step_from(batch)
    assert np.abs(weight / bias - row).max() < 1e-5

    found = [abs(cosine(step_from(batch, noise)[0], row)) for _ in range(trials)]
    # A unit vector plus noise of sd s in each of p coordinates has a mean square cosine of about
    # (1 + s^2) / (1 + p s^2).
    bound = math.sqrt((1 + noise**2) / (1 + width * noise**2))
    assert np.mean(found) <= bound + 3 * stats.sem(found)
