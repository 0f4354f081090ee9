"""Wall time is no part of the exact result."""

from dataclasses import replace

from fedcausal.discovery.result import Discovery
from fedcausal.graph import Graph


def test_discoveries_that_differ_in_time_are_equal():
    dag = Graph.dag("ab", [])
    found = Discovery(graph=dag, dag=dag, algorithm="pc", score=0.0, seconds=1.0)
    assert found == replace(found, seconds=2.0)
    assert found != replace(found, score=1.0)
