"""One round with 2,000 clients in one process, and how a round grows with their number.

Each answers a vector of 1,000 numbers; every message is serialised with Flower's own code both
ways. The peer is the same exchange with messages handed over by reference. Seed 24.
"""

import time
from itertools import pairwise

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from lines import Lines

from fedcausal_simulations.inprocess import InProcessGrid

NUMBERS = (500, 1000, 2000)
LENGTH = 1000
app = ClientApp()


@app.query("vector")
def vector(message: Message, context: Context) -> Message:
    """The client's own vector."""
    rng = np.random.default_rng((24, int(context.node_config["partition-id"])))
    record = ArrayRecord({"v": Array(rng.normal(size=LENGTH))})
    return Message(RecordDict({"answer": record}), reply_to=message)


def exchange(number: int, *, strict: bool) -> float:
    """Seconds of CPU for one round; every client answers once."""
    grid = InProcessGrid(app, num_nodes=number, run_config={}, strict=strict)
    started = time.process_time()
    asked = [
        grid.create_message(RecordDict(), "query.vector", node, "1")
        for node in grid.get_node_ids()
    ]
    answers = list(grid.send_and_receive(asked, timeout=600))
    seconds = time.process_time() - started
    assert len({answer.metadata.src_node_id for answer in answers}) == number
    return seconds


def table(quick: bool) -> bool:
    """Print the table."""
    lines, exchange_of = Lines(), {}
    exchange(50, strict=True)
    for number in NUMBERS:
        plain = exchange(number, strict=False)
        exchange_of[number] = exchange(number, strict=True)
        ratio = exchange_of[number] / plain
        lines.row(
            f"{number} clients, one round",
            f"{exchange_of[number]:.2f} s CPU = {ratio:.1f}x by reference",
            "every client answers",
            True,
        )
    for fewer, more in pairwise(NUMBERS):
        growth = exchange_of[more] / exchange_of[fewer]
        lines.row(f"{more} against {fewer}", f"{growth:.2f}x", "<= 2.6x", growth <= 2.6)
    return lines.holds
