import pytest
from flwr.app import Context, Error, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from fedcausal.errors import DataError, DeadlineError, DisclosureError, LinkError, ProtocolError
from fedcausal_privacy.messages import Message
from fedcausal_privacy.secure_sum.aggregator_state import Post
from fedcausal_server.codec import decode, encode
from fedcausal_server.transport.link import FlowerLink
from fedcausal_simulations.inprocess import FIRST_NODE_ID, InProcessGrid

NAMES = ("east", "north", "south", "steward")
HELLO = Message(kind="query.hello", header={"run_id": "r"})


class Nodes(ClientApp):
    """Nodes that say their name; `replies` overrides what a name answers to a kind."""

    def __init__(self, names=NAMES, replies=None):
        super().__init__()
        self.names, self.replies = names, replies or {}

    def __call__(self, message: FlowerMessage, context: Context) -> FlowerMessage:
        name = self.names[int(context.node_config["partition-id"])]
        request = decode(message.content)
        reply = self.replies.get((name, request.kind), {"name": name})
        if isinstance(reply, Exception):
            raise reply
        blobs = {"ciphertext/toy-1": b"12345"} if request.kind.endswith("upload") else {}
        answer = Message(kind=request.kind, header=reply, blobs=blobs)
        return FlowerMessage(encode(answer), reply_to=message)


def link_to(app, *, order_seed=None, deadline_seconds=30.0, num_nodes=4):
    grid = InProcessGrid(app, num_nodes=num_nodes, run_config={}, order_seed=order_seed)
    return FlowerLink(grid, deadline_seconds=deadline_seconds)


@pytest.mark.parametrize("order_seed", [None, 1, 2, 3])
def test_replies_are_sorted_whatever_the_order_of_arrival(order_seed):
    link = link_to(Nodes(), order_seed=order_seed)
    assert list(link.greet(HELLO, NAMES).by_party) == sorted(NAMES)
    replies = link.broadcast(Message(kind="query.freeze"), ["south", "east"])
    assert {n: r.header["name"] for n, r in replies.by_party.items()} == {
        "east": "east",
        "south": "south",
    }


def test_bytes_are_counted_by_party_and_statistic():
    link = link_to(Nodes())
    link.greet(HELLO, NAMES)
    weighed = link.broadcast(Message(kind="query.upload", blobs={"w": b"123"}), ["north"])
    (transfer,) = weighed.transfers
    assert (transfer.party, transfer.sent, transfer.received) == ("north", 3, 5)
    assert dict(transfer.statistics) == {"toy-1": 5}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("too-few-rows", DisclosureError),
        ("data-does-not-fit", DataError),
        ("drop table; patients.csv", Exception),
    ],
)
def test_a_refusal_is_an_error_with_site_and_code(code, error):
    refusal = {"name": "south", "refusal": code, "where": "age"}
    link = link_to(Nodes(replies={("south", "query.hello"): refusal}))
    with pytest.raises(error, match="south:age") as caught:
        link.greet(HELLO, NAMES)
    assert "patients" not in str(caught.value)


def test_all_refusing_sites_are_named():
    refusal = {"refusal": "saturated", "where": "gram"}
    app = Nodes(replies={(n, "query.upload"): refusal for n in ("south", "east")})
    link = link_to(app)
    link.greet(HELLO, NAMES)
    with pytest.raises(DisclosureError, match=r"(?s)east:gram.*south:gram"):
        link.broadcast(Message(kind="query.upload"), NAMES)


def test_a_crashed_party_is_named():
    link = link_to(Nodes(replies={("north", "query.freeze"): RuntimeError("secret")}))
    link.greet(HELLO, NAMES)
    with pytest.raises(LinkError, match=r"north: Flower could not .* code 2") as caught:
        link.broadcast(Message(kind="query.freeze"), NAMES)
    assert "secret" not in str(caught.value)


class Fading(InProcessGrid):
    """Flower holds north for gone when it is asked first; it is back after some looks."""

    looks, is_gone = 2, False

    def answer(self, message):
        if message.metadata.dst_node_id != 1001 or self.is_gone or not self.looks:
            return super().answer(message)
        self.is_gone = True
        return FlowerMessage(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=message)

    def get_node_ids(self):
        if self.is_gone and self.looks:
            self.looks -= 1
            return [node for node in super().get_node_ids() if node != 1001]
        return super().get_node_ids()


def test_a_node_whose_heartbeats_were_lost_is_asked_again():
    grid = Fading(Nodes(), num_nodes=4, run_config={})
    link = FlowerLink(grid, deadline_seconds=30.0)
    assert list(link.greet(HELLO, NAMES).by_party) == sorted(NAMES)
    assert grid.is_gone
    assert not grid.looks


def test_a_node_that_does_not_come_back_is_named_at_the_deadline():
    grid = Fading(Nodes(), num_nodes=4, run_config={})
    grid.looks = 10**6
    link = FlowerLink(grid, deadline_seconds=0.3)
    with pytest.raises(DeadlineError, match=r"waited 0.3 s for query.hello of north"):
        link.greet(HELLO, NAMES)


def test_a_silent_party_is_named():
    class Lossy(InProcessGrid):
        def answer(self, message):
            lost = message.metadata.message_type == "query.freeze"
            return (
                None if lost and message.metadata.dst_node_id == 1001 else super().answer(message)
            )

    link = FlowerLink(Lossy(Nodes(), num_nodes=4, run_config={}), deadline_seconds=0.2)
    link.greet(HELLO, NAMES)
    with pytest.raises(DeadlineError, match=r"query.freeze of north; nothing was revealed"):
        link.broadcast(Message(kind="query.freeze"), NAMES)


class Doubling(InProcessGrid):
    """Every reply comes again, as after a connection that was cut."""

    def pull_messages(self, message_ids):
        replies = list(super().pull_messages(message_ids))
        return [*replies, *replies]


def test_an_answer_that_comes_twice_counts_once():
    link = FlowerLink(Doubling(Nodes(), num_nodes=4, run_config={}), deadline_seconds=30.0)
    assert set(link.greet(HELLO, NAMES).by_party) == set(NAMES)
    assert set(link.broadcast(Message(kind="query.freeze"), NAMES).by_party) == set(NAMES)


def test_an_answer_of_another_node_does_not_count():
    class Borrowed(InProcessGrid):
        """North's answers come from a node that was not asked."""

        def pull_messages(self, message_ids):
            for reply in super().pull_messages(message_ids):
                if reply.metadata.src_node_id == 1001 and self.is_borrowing:
                    reply.metadata.__dict__["_src_node_id"] = 77
                yield reply

    grid = Borrowed(Nodes(), num_nodes=4, run_config={})
    grid.is_borrowing = False
    link = FlowerLink(grid, deadline_seconds=30.0)
    link.greet(HELLO, NAMES)
    grid.is_borrowing = True
    with pytest.raises(DeadlineError, match=r"query.freeze of north; nothing was revealed"):
        link.broadcast(Message(kind="query.freeze"), NAMES)


def test_too_few_nodes():
    with pytest.raises(DeadlineError, match=r"for 4 nodes .* 3 are connected"):
        link_to(Nodes(), num_nodes=3, deadline_seconds=0.05).greet(HELLO, NAMES)


def test_two_nodes_of_one_name_and_strangers():
    with pytest.raises(ProtocolError, match="'north', which is taken"):
        link_to(Nodes(("north", "north", "south", "steward"))).greet(HELLO, NAMES)
    with pytest.raises(ProtocolError, match="'mallory', which is not among"):
        link_to(Nodes(("east", "mallory", "south", "steward"))).greet(HELLO, NAMES)


def test_nobody_is_written_to_before_the_greeting():
    with pytest.raises(LinkError, match="greeted as north"):
        link_to(Nodes()).broadcast(Message(kind="query.freeze"), ["north"])


def test_a_record_that_is_no_message():
    class Noise(ClientApp):
        def __call__(self, message, context):
            return FlowerMessage(RecordDict(), reply_to=message)

    with pytest.raises(ProtocolError):
        link_to(Noise()).greet(HELLO, NAMES)


def posted(link, *names, kind="query.upload"):
    link.post([Post(recipient=name, message=Message(kind=kind)) for name in names])


@pytest.mark.parametrize("order_seed", [None, 1, 2])
def test_answers_come_one_by_one_and_are_weighed(order_seed):
    link = link_to(Nodes(), order_seed=order_seed)
    link.greet(HELLO, NAMES)
    posted(link, "east", "south")
    assert not link.is_silent
    came = dict(link.poll())
    assert {name: reply.header["name"] for name, reply in came.items()} == {
        "east": "east",
        "south": "south",
    }
    assert link.is_silent
    assert list(link.poll()) == []
    assert sorted(t.party for t in link.transfers) == ["east", "south"]
    assert all(dict(t.statistics) == {"toy-1": 5} for t in link.transfers)


def test_a_failed_node_is_a_silent_one():
    link = link_to(Nodes(replies={("north", "query.upload"): RuntimeError("secret")}))
    link.greet(HELLO, NAMES)
    posted(link, "north", "east")
    assert [name for name, _ in link.poll()] == ["east"]
    assert link.is_silent


def test_refusals_of_a_round_are_named_together():
    refusal = {"refusal": "saturated", "where": "gram"}
    link = link_to(Nodes(replies={(n, "query.upload"): refusal for n in ("south", "east")}))
    link.greet(HELLO, NAMES)
    posted(link, "east", "north", "south")
    with pytest.raises(DisclosureError, match=r"(?s)east:gram.*south:gram"):
        list(link.poll())


def test_what_is_forgotten_is_not_waited_for_and_strangers_get_nothing():
    link = link_to(Nodes())
    link.greet(HELLO, NAMES)
    posted(link, "east")
    link.forget()
    assert link.is_silent
    assert list(link.poll()) == []
    with pytest.raises(LinkError, match="greeted as west"):
        posted(link, "west")


def test_known_nodes_are_the_only_ones_greeted():
    numbers = {name: FIRST_NODE_ID + i for i, name in enumerate(NAMES)}
    grid = InProcessGrid(Nodes(names=(*NAMES, "stranger")), num_nodes=5, run_config={})
    link = FlowerLink(grid, deadline_seconds=5.0, node_ids=numbers)
    assert list(link.greet(HELLO, NAMES).by_party) == sorted(NAMES)


def test_a_name_counts_from_its_own_node_alone():
    numbers = {name: FIRST_NODE_ID + i for i, name in enumerate(reversed(NAMES))}
    grid = InProcessGrid(Nodes(), num_nodes=4, run_config={})
    link = FlowerLink(grid, deadline_seconds=5.0, node_ids=numbers)
    with pytest.raises(ProtocolError, match="another party's name"):
        link.greet(HELLO, NAMES)


def test_who_is_not_connected_is_named():
    numbers = {name: FIRST_NODE_ID + i for i, name in enumerate(NAMES)}
    grid = InProcessGrid(Nodes(), num_nodes=3, run_config={})
    link = FlowerLink(grid, deadline_seconds=0.1, node_ids=numbers)
    with pytest.raises(DeadlineError, match=r"waited 0.1 s for steward to connect"):
        link.greet(HELLO, NAMES)
