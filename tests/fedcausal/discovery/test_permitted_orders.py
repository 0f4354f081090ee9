"""Orders that honour knowledge."""

import numpy as np
import pytest

from fedcausal.discovery.permitted_orders import PermittedOrders


def closed(before):
    before = list(before)
    for via in range(len(before)):
        for i in range(len(before)):
            if before[i] >> via & 1:
                before[i] |= before[via]
    return before


def honours(order, before):
    return all(
        not before[variable] >> later & 1
        for place, variable in enumerate(order)
        for later in order[place + 1 :]
    )


@pytest.mark.parametrize("seed", range(20))
def test_all_that_comes_out_is_permitted(seed):
    rng = np.random.default_rng(seed)
    hidden = rng.permutation(9).tolist()
    before = [0] * 9
    for place, variable in enumerate(hidden):
        before[variable] = sum(1 << i for i in hidden[:place] if rng.random() < 0.3)
    before = closed(before)
    orders = PermittedOrders(before)
    order = orders.random(rng)
    for _ in range(5):
        assert sorted(order) == list(range(9))
        assert honours(order, before)
        order = orders.random(rng)
    assert honours(orders.arrange(range(9)), before)
    assert orders.arrange(order) == order


def test_orders_of_a_dag_are_permitted_and_of_every_kind():
    orders, parents = PermittedOrders([0, 0, 0b1, 0]), [0, 0b1000, 0, 0]
    rng = np.random.default_rng(0)
    found = {tuple(orders.shuffled(parents, rng)) for _ in range(200)}
    assert all(
        order.index(0) < order.index(2) and order.index(3) < order.index(1) for order in found
    )
    assert len(found) == 6


def test_the_span_is_where_insertion_is_permitted():
    orders = PermittedOrders([0, 0b1, 0, 0b10 | 0b1])
    rest = [2, 0, 3]
    low, high = orders.span(rest, 1)
    fine = [i for i in range(4) if honours([*rest[:i], 1, *rest[i:]], orders.before)]
    assert fine == list(range(low, high + 1))
