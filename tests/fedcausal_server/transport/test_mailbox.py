import httpx
import pytest
from flwr.app import Error
from flwr.app import Message as FlowerMessage
from flwr.common.constant import ErrorCode

from fedcausal.errors import UnreachableError
from fedcausal_privacy.messages import Message
from fedcausal_server.codec import encode
from fedcausal_server.transport import mailbox, outage
from fedcausal_server.transport.mailbox import MOST_COPIES, Mailbox
from fedcausal_simulations.inprocess import FIRST_NODE_ID, InProcessGrid
from tests.faults.mortal_sites import Clock

EAST, WEST = FIRST_NODE_ID, FIRST_NODE_ID + 1
HELLO = Message(kind="query.hello", header={"run_id": "r"})


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    for module in (mailbox, outage):
        monkeypatch.setattr(module, "time", made)
    return made


class Nodes(InProcessGrid):
    """Nodes that answer; `fate` says what becomes of the n-th message to a node."""

    def __init__(self, fate=lambda node, number: None):
        super().__init__(self.reply, num_nodes=2, run_config={}, strict=False)
        self.fate, self.num_asked = fate, {}

    def reply(self, message, context):
        return FlowerMessage(encode(Message(kind=HELLO.kind)), reply_to=message)

    def answer(self, message):
        node = message.metadata.dst_node_id
        self.num_asked[node] = self.num_asked.get(node, 0) + 1
        fate = self.fate(node, self.num_asked[node])
        if fate == "silent":
            return None
        if fate is not None:
            return FlowerMessage(Error(fate, "why"), reply_to=message)
        return super().answer(message)


def asked(grid, deadline=1e6):
    box = Mailbox(grid)
    box.post([(EAST, HELLO), (WEST, HELLO)], deadline=deadline)
    return box


def came(box, deadline=1e6):
    return [
        (answer.node, answer.code if answer.reply is None else "reply")
        for answer in box.answers(deadline=deadline)
    ]


def test_every_message_is_answered_once():
    box = asked(Nodes())
    assert not box.is_empty
    assert sorted(came(box)) == [(EAST, "reply"), (WEST, "reply")]
    assert box.is_empty
    assert came(box) == []


@pytest.mark.parametrize(
    "code", [ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE]
)
def test_what_the_superlink_lost_is_sent_again(code):
    grid = Nodes(lambda node, number: code if (node, number) == (EAST, 1) else None)
    box = asked(grid)
    assert came(box) == [(WEST, "reply")]
    assert not box.is_empty
    assert came(box) == [(EAST, "reply")]
    assert box.is_empty


def test_what_is_lost_again_and_again_is_given_up():
    code = ErrorCode.MESSAGE_UNAVAILABLE
    grid = Nodes(lambda node, number: code if node == EAST else None)
    box, found = asked(grid), []
    while not box.is_empty:
        found += came(box)
    assert found == [(WEST, "reply"), (EAST, code)]
    assert grid.num_asked[EAST] == MOST_COPIES


def test_a_node_that_failed_is_not_asked_again():
    gone = ErrorCode.NODE_UNAVAILABLE
    grid = Nodes(lambda node, number: gone if node == EAST else None)
    box = asked(grid)
    assert sorted(came(box), key=str) == [(EAST, gone), (WEST, "reply")]
    assert box.is_empty


def test_a_silent_node_is_asked_again_after_a_minute_then_two_then_four(clock):
    grid = Nodes(lambda node, number: "silent" if node == EAST and number < 4 else None)
    box, times = asked(grid), []
    while not box.is_empty:
        before = grid.num_asked.get(EAST, 0)
        assert len(came(box)) <= 1
        if grid.num_asked[EAST] > before:
            times.append(clock.now)
        clock.sleep(1)
        box.repeat(deadline=1e6)
    assert times == [0, 60, 180, 420]
    assert grid.num_asked[WEST] == 1


def test_the_answers_to_other_copies_are_dropped(clock):
    """The first copy is answered after the second was sent: one answer, and nothing is left."""
    grid = Nodes()
    box = asked(grid)
    clock.sleep(61)
    box.repeat(deadline=1e6)
    assert sorted(came(box)) == [(EAST, "reply"), (WEST, "reply")]
    assert box.is_empty


def test_an_error_of_one_copy_leaves_the_other(clock):
    gone = ErrorCode.NODE_UNAVAILABLE
    grid = Nodes(lambda node, number: gone if (node, number) == (EAST, 1) else None)
    box = asked(grid)
    clock.sleep(61)
    box.repeat(deadline=1e6)
    assert sorted(came(box)) == [(EAST, "reply"), (WEST, "reply")]
    assert box.is_empty


def test_what_is_forgotten_is_not_waited_for():
    box = asked(Nodes())
    box.forget()
    assert box.is_empty


class Out(Nodes):
    """A SuperLink whose connection is cut twice before a request is heard, and once after."""

    def __init__(self):
        super().__init__()
        self.cuts = {}

    def cut(self, request, place, times):
        key = request, place
        self.cuts[key] = self.cuts.get(key, 0) + 1
        if self.cuts[key] <= times:
            raise httpx.ReadError("cut")

    def get_node_ids(self):
        self.cut("nodes", "before", 2)
        return super().get_node_ids()

    def push_messages(self, messages):
        self.cut("push", "before", 2)
        ids = super().push_messages(messages)
        self.cut("push", "after", 1)
        return ids

    def pull_messages(self, message_ids):
        self.cut("pull", "before", 2)
        return super().pull_messages(message_ids)


def test_requests_are_repeated_through_outages(clock):
    grid = Out()
    box = Mailbox(grid)
    assert box.node_ids(deadline=600) == [EAST, WEST]
    box.post([(EAST, HELLO), (WEST, HELLO)], deadline=600)
    assert sorted(came(box, 600)) == [(EAST, "reply"), (WEST, "reply")]
    assert 0 < clock.now < 60


def test_an_outage_to_the_deadline_is_no_silence_of_the_nodes(clock):
    grid = Out()
    box = asked(grid)
    with pytest.raises(UnreachableError, match="did not hand out answers"):
        came(box, deadline=0.0)
    assert not box.is_empty
