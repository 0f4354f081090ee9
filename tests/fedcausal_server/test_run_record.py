from types import SimpleNamespace

from fedcausal.study import Study
from fedcausal_server.run_record import run_card
from fedcausal_server.transport.link import Transfer
from fedcausal_server.workflow import StudyOutcome


def test_the_card_names_hashes_parties_and_bytes():
    kinds = {name: {"kind": "continuous"} for name in "xy"}
    study = Study.model_validate({"variables": kinds})
    transfer = Transfer(
        party="a", kind="query.upload", sent=1, received=2, statistics={"gram-1": 2}
    )
    outcome = StudyOutcome(
        state=SimpleNamespace(requests=(), blobs={}, done=True, steps=("discovery",)),
        run_id="r",
        sites=("a", "b", "c"),
        steward="k",
        num_rounds=3,
        num_replayed=1,
        transfers=(transfer,),
    )
    card = run_card(outcome, study, seed=5)
    assert card["study"]["hash"] == study.hash()
    assert (card["seed"], card["rounds"], card["replayed_rounds"]) == (5, 3, 1)
    assert card["transfers"][0]["statistics"] == {"gram-1": 2}
    model = next(part for part in card["privacy"] if part["part"] == "model")
    assert model["sentence"] == "the run stopped before this part"
