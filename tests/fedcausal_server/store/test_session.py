from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum import aggregator
from fedcausal_privacy.secure_sum.recovery import Event
from fedcausal_server.store.session import Session
from fedcausal_server.store.study_store import MemoryStore

STATE = aggregator.begin(run_id="run-1", study_hash="h", sites=("a", "b", "c"), steward="s")
EVENTS = tuple(
    Event(party=name, reply=Message(kind="query.hello", header={"name": name})) for name in "abc"
)


def test_a_store_without_a_run():
    session = Session(store=MemoryStore())
    assert (session.state(), session.nodes(), session.events()) == (None, {}, ())
    session.end()


def test_a_run_is_there_for_the_next_process_with_what_came_in_order():
    store = MemoryStore()
    session = Session(store=store)
    session.begin(STATE, {"a": 7, "s": 2**63}, EVENTS[:1])
    session.add(EVENTS[1])
    session.add(Event())
    later = Session(store=store)
    assert later.state() == STATE
    assert later.nodes() == {"a": 7, "s": 2**63}
    assert later.events() == (*EVENTS[:2], Event())
    later.add(EVENTS[2])
    later.add()
    assert Session(store=store).events() == (*EVENTS[:2], Event(), EVENTS[2])


def test_a_checkpoint_takes_the_place_of_what_came():
    store = MemoryStore()
    session = Session(store=store)
    session.begin(STATE, {}, EVENTS)
    changes = session.checkpoint(STATE)
    assert session.events() == EVENTS
    store.commit({**changes, "round/0001": b"r"})
    assert session.events() == ()
    session.add(EVENTS[0])
    assert session.events() == EVENTS[:1]


def test_a_new_run_and_an_end_leave_nothing_of_the_one_before():
    store = MemoryStore()
    session = Session(store=store)
    session.begin(STATE, {"a": 1}, EVENTS)
    session.begin(STATE, {"b": 2}, EVENTS[:1])
    assert (session.nodes(), session.events()) == ({"b": 2}, EVENTS[:1])
    store.commit({"round/0001": b"r"})
    session.end()
    assert store.keys("") == ("round/0001",)
