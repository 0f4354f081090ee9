"""Random graphs of every kind with awkward names: what every format must give back."""

from itertools import combinations

import numpy as np
import pytest

from fedcausal.graph import PROBABILITIES, Edge, Graph, Mark

PIECES = [*"ab Z9_-.,;:\"\\'&<>|{}[]()=#@/%é年", "->", "node", "graph", "&amp;", "0"]


def random_names(rng, size):
    names = []
    while len(names) < size:
        name = "".join(PIECES[i] for i in rng.integers(len(PIECES), size=rng.integers(1, 6)))
        name = name.strip()
        if name and name not in names:
            names.append(name)
    return tuple(names)


def random_graph_of(seed, *, probabilities=True):
    rng = np.random.default_rng(seed)
    kind = ("dag", "cpdag", "pag")[rng.integers(3)]
    names = random_names(rng, int(rng.integers(1, 7)))
    order = [names[i] for i in rng.permutation(len(names))]
    marks = list(Mark)
    edges = []
    for first, second in combinations(order, 2):
        if rng.random() < 0.5:
            continue
        ends = [Mark.TAIL, Mark.ARROW]
        if kind == "pag":
            ends = [marks[i] for i in rng.integers(3, size=2)]
        elif kind == "cpdag" and rng.random() < 0.4:
            ends = [Mark.TAIL, Mark.TAIL]
        known = {name: float(rng.random()) for name in PROBABILITIES if rng.random() < 0.5}
        edges.append(
            Edge(
                source=first,
                target=second,
                source_mark=ends[0],
                target_mark=ends[1],
                **(known if probabilities else {}),
            )
        )
    return Graph(kind=kind, nodes=names, edges=tuple(edges))


@pytest.fixture
def random_graph():
    return random_graph_of
