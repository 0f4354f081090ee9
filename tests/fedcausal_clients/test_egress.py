import json
from dataclasses import replace

import pytest

from fedcausal.refusals import RefusalCode
from fedcausal.statistics.kind import PrivateKind, Request
from fedcausal.statistics.registry import KINDS
from fedcausal.statistics.tables_kind import TablesKind, tables_request
from fedcausal_clients.data.survey import Survey
from fedcausal_clients.egress import Asked, RefusalError, authorise, refuse, release
from fedcausal_clients.policy.release_memory import ReleaseNote, load_memory, save_memory
from fedcausal_privacy.disclosure.row_sketch import ColumnSketch
from fedcausal_privacy.dp.events import NoPrivacy, PoissonSampledGaussian
from fedcausal_privacy.messages import Message
from fedcausal_privacy.statistic_spec import StatisticSpec

REQUEST = Request(kind="toy", parameters={"n": 1})
OTHERS = [Request(kind="toy", parameters={"n": n}) for n in range(2, 9)]
EVENT = PoissonSampledGaussian(sample_rate=0.1, noise_multiplier=2.0, steps=10)


def ask(gate, study, kind, *, num_rows=100, event=None, round_number=1, request=REQUEST, more=()):
    asked = [
        Asked(
            request=one,
            kind=kind,
            spec=StatisticSpec(name=one.id(), length=1, bound=10**6, counts=()),
            event=event,
        )
        for one in (request, *more)
    ]
    permits = authorise(
        gate,
        study,
        asked,
        survey=Survey(num_rows=num_rows, columns={"age:": ColumnSketch.empty()}),
        roster=("north", "south", "west"),
        run_id="run",
        round_number=round_number,
    )
    return permits[request.id()]


def upload(*statistics):
    return Message(
        kind="query.upload", blobs={f"ciphertext/{name}": b"cipher" for name in statistics}
    )


def audit_lines(gate):
    return [json.loads(line) for line in gate.audit.path.read_text().splitlines()]


def test_a_permitted_statistic_leaves_and_is_written_down(make_gate, study, toy_kind):
    gate = make_gate(study)
    permit = ask(gate, study, toy_kind())
    reply = upload(permit.statistic)
    assert release(gate, reply, permits={permit.statistic: permit}) is reply
    (line,) = audit_lines(gate)
    assert line["event"] == "released"
    assert line["details"]["statistics"][0]["statistic"] == REQUEST.id()
    (entry,) = gate.ledger.entries()
    assert entry.event == NoPrivacy(name="toy")


@pytest.mark.parametrize(
    ("policy", "num_rows", "code"),
    [
        ({}, 19, RefusalCode.TOO_FEW_ROWS),
        ({"min_rows": 200}, 100, RefusalCode.TOO_FEW_ROWS),
        ({"min_cell": 6}, 100, RefusalCode.MIN_CELL_TOO_LOW),
        ({"allow": ["range"]}, 100, RefusalCode.KIND_NOT_ALLOWED),
        ({"allow": []}, 100, RefusalCode.KIND_NOT_ALLOWED),
        ({"max_parameters_per_row": 0.005}, 100, RefusalCode.SATURATED),
        ({"max_epsilon": 3.0}, 100, RefusalCode.NO_EPSILON),
    ],
)
def test_every_key_of_the_policy_refuses(make_gate, study, toy_kind, policy, num_rows, code):
    gate = make_gate(study, **policy)
    with pytest.raises(RefusalError) as caught:
        ask(gate, study, toy_kind(), num_rows=num_rows)
    assert caught.value.code is code
    assert gate.ledger.entries() == ()


def test_a_study_nobody_approved(make_gate, study, new_study, toy_kind):
    gate = make_gate(study)
    with pytest.raises(RefusalError, match="study-not-approved"):
        ask(gate, new_study(study={"name": "another"}), toy_kind())


def test_more_rows_than_the_public_cap(make_gate, new_study, toy_kind):
    study = new_study(privacy={"max_rows": 99})
    with pytest.raises(RefusalError, match="too-many-rows"):
        ask(make_gate(study), study, toy_kind())


@pytest.mark.parametrize(("wide", "num_rows"), [(33, 100), (34, 104)])
def test_saturation_is_parameters_over_rows(make_gate, study, toy_kind, wide, num_rows):
    gate = make_gate(study)
    ask(gate, study, toy_kind(wide=wide), num_rows=num_rows)
    with pytest.raises(RefusalError, match="saturated"):
        ask(gate, study, toy_kind(wide=wide + 2), num_rows=num_rows, round_number=2)


def test_a_private_part_is_charged_and_need_not_be_narrow(make_gate, new_study, toy_kind):
    study = new_study(privacy={"model": {"epsilon": 3.0}})
    gate = make_gate(study, max_epsilon=4.0)
    ask(gate, study, toy_kind(part="model", wide=10_000), event=EVENT)
    assert gate.ledger.spent(study.privacy.delta, part="model") > 0


def test_a_private_part_without_a_private_form_is_refused(make_gate, new_study, toy_kind):
    study = new_study(privacy={"model": {"epsilon": 3.0}})
    with pytest.raises(RefusalError, match="no-private-form"):
        ask(make_gate(study), study, toy_kind(part="model"), event=None)


@pytest.mark.parametrize(("of_study", "of_site"), [(0.2, None), (9.0, 0.2)])
def test_neither_the_study_nor_the_site_budget_is_exceeded(
    make_gate, new_study, toy_kind, of_study, of_site
):
    study = new_study(privacy={"model": {"epsilon": of_study}})
    gate = make_gate(study, **({} if of_site is None else {"max_epsilon": of_site}))

    def exhaust():
        for round_number in range(1, 50):
            ask(gate, study, toy_kind(part="model"), event=EVENT, round_number=round_number)

    with pytest.raises(RefusalError) as caught:
        exhaust()
    assert caught.value.code is RefusalCode.BUDGET_EXCEEDED
    assert gate.ledger.spent(study.privacy.delta) <= (of_site or of_study)


def test_a_kind_is_asked_in_a_limited_number_of_ways_over_all_runs(make_gate, study, toy_kind):
    gate = make_gate(study, max_requests=3)
    for request in (REQUEST, *OTHERS[:2]):
        ask(gate, study, toy_kind(), request=request)
    for request in (REQUEST, OTHERS[1]):
        ask(gate, study, toy_kind(), request=request, round_number=2)
    with pytest.raises(RefusalError, match="too-many-requests"):
        ask(gate, study, toy_kind(), request=OTHERS[2])
    with pytest.raises(RefusalError, match="too-many-requests"):
        ask(gate, study, toy_kind(), request=OTHERS[3], round_number=3)


def test_tables_are_asked_for_beside_all_that_were_answered(make_gate, study):
    gate, first = make_gate(study), tables_request([["a", "b"]])
    ask(gate, study, TablesKind(), request=first)
    with pytest.raises(RefusalError, match="tables-left-out"):
        ask(gate, study, TablesKind(), request=tables_request([["b", "c"]]), round_number=2)
    named = tables_request([["b", "c"]], before=[first])
    ask(gate, study, TablesKind(), request=named, round_number=2)
    ask(gate, study, TablesKind(), request=first, round_number=3)
    assert len(gate.ledger.entries()) == 3


def test_every_round_of_training_is_another_request(make_gate, new_study, toy_kind):
    study = new_study(model={"rounds": 2})
    gate = make_gate(study, max_requests=2)
    for request in OTHERS[:4]:
        ask(gate, study, toy_kind(part="model"), request=request)
    with pytest.raises(RefusalError, match="too-many-requests"):
        ask(gate, study, toy_kind(part="model"), request=OTHERS[4])


def test_a_large_delta_does_not_make_an_epsilon_small(make_gate, new_study, toy_kind):
    study = new_study(privacy={"model": {"epsilon": 3.0}, "delta": 0.9})
    gate = make_gate(study, max_epsilon=4.0)
    with pytest.raises(RefusalError, match="delta-too-large"):
        ask(gate, study, toy_kind(part="model"), event=EVENT)
    assert gate.ledger.entries() == ()
    ask(
        make_gate(study, max_epsilon=4.0, max_delta=0.9),
        study,
        toy_kind(part="model"),
        event=EVENT,
    )


def test_a_refused_request_costs_nothing_beside_it(make_gate, new_study, toy_kind):
    study = new_study(privacy={"model": {"epsilon": 0.9}})
    gate = make_gate(study)
    with pytest.raises(RefusalError, match="budget-exceeded"):
        ask(gate, study, toy_kind(part="model"), event=EVENT, more=OTHERS[:5])
    assert gate.ledger.entries() == ()


def test_a_warning_is_in_the_ledger_and_in_the_audit_log(make_gate, study, toy_kind):
    gate = make_gate(study, differencing="warn")
    save_memory(gate.store, memory_of(gate, num_rows=97))
    ask(gate, study, toy_kind())
    (entry,) = gate.ledger.entries()
    assert entry.description.startswith("toy; the site has 3 rows more or fewer")
    assert [line["event"] for line in audit_lines(gate)] == ["warned"]
    with pytest.raises(RefusalError, match="rows-changed-little"):
        ask(make_gate(study), study, toy_kind(), request=OTHERS[0])


def memory_of(gate, num_rows):
    """A release of `num_rows` rows, seen through the column that `Survey` below has."""
    note = ReleaseNote(study="s", statistic="toy-0", roster=("north", "south", "west"), numbers=1)
    looked = Survey(num_rows=num_rows, columns={"age:": ColumnSketch.empty()})
    return load_memory(gate.store).with_release(looked, note)


def test_nothing_leaves_without_a_permit(make_gate, study, toy_kind):
    gate = make_gate(study)
    permit = ask(gate, study, toy_kind())
    smuggled = upload(permit.statistic, "more")
    with pytest.raises(RefusalError):
        release(gate, smuggled, permits={permit.statistic: permit})
    with pytest.raises(RefusalError):
        release(gate, upload(permit.statistic))
    with pytest.raises(RefusalError):
        release(gate, Message(kind="query.everything"))
    assert not gate.audit.path.exists()


def test_bytes_that_are_no_ciphertext_do_not_leave_under_a_permit(make_gate, study, toy_kind):
    gate = make_gate(study)
    permit = ask(gate, study, toy_kind())
    plain = Message(kind="query.upload", blobs={f"vector/{permit.statistic}": b"17"})
    with pytest.raises(RefusalError):
        release(gate, plain, permits={permit.statistic: permit})
    steward = Message(kind="query.decrypt", blobs={"release/toy": b"17"})
    with pytest.raises(RefusalError):
        release(gate, steward)
    assert release(replace(gate, is_steward=True), steward) is steward


def test_a_refusal_tells_the_code_outside_and_the_reason_inside(make_gate, study):
    gate = make_gate(study)
    refusal = RefusalError(RefusalCode.DATA_DOES_NOT_FIT, "age", reason="north:age: 3 rows ...")
    reply = refuse(gate, "query.hello", refusal)
    assert reply.header == {"name": "north", "refusal": "data-does-not-fit", "where": "age"}
    reason, refused = audit_lines(gate)
    assert reason["details"]["reason"] == "north:age: 3 rows ..."
    assert refused["event"] == "refused"
    assert "3 rows" not in str(reply)


def test_permits_survive_a_restart(make_gate, study, toy_kind):
    permit = ask(make_gate(study), study, toy_kind())
    again = type(permit).from_json(json.loads(json.dumps(permit.to_json())))
    assert again == permit
    assert replace(again, round_number=2) != permit


@pytest.mark.parametrize("name", sorted(KINDS))
def test_what_a_study_calls_private_leaves_noised_or_not_at_all(make_gate, new_study, name):
    """Every kind there is, in a study that has an epsilon for the kind's part."""
    kind = KINDS[name]
    if isinstance(kind, PrivateKind) or kind.part == "model":
        return  # charged for its noise: test_site_node, test_local_training
    study = new_study(privacy={kind.part: {"epsilon": 1.0}})
    with pytest.raises(RefusalError) as caught:
        ask(make_gate(study), study, kind, request=Request(kind=name))
    assert caught.value.code is RefusalCode.NO_PRIVATE_FORM
