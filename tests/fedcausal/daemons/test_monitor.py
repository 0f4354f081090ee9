"""The monitoring server: Prometheus' own parser reads what it says."""

import json
import os
import time
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from fedcausal.daemons.monitor import Metric, Monitor, exposition, serve_monitor
from fedcausal.daemons.processes import Forked, await_until, end_process, free_port
from fedcausal.errors import InputError

RUNS = Metric(
    name="fedcausal_runs",
    help="Runs, by state.",
    samples={(("state", "finished"),): 3.0, (("state", 'a "b"\\c\nd'),): 1.0},
)
LEFT = Metric(name="fedcausal_left", help="Seconds.", samples={(): -1.5e9})


def test_prometheus_reads_it():
    found = {f.name: f for f in text_string_to_metric_families(exposition([RUNS, LEFT]))}
    assert {tuple(s.labels.items()): s.value for s in found["fedcausal_runs"].samples} == {
        (("state", "finished"),): 3.0,
        (("state", 'a "b"\\c\nd'),): 1.0,
    }
    assert found["fedcausal_left"].samples[0].value == -1.5e9
    assert found["fedcausal_runs"].documentation == "Runs, by state."
    assert found["fedcausal_runs"].type == "gauge"


def test_a_metric_without_samples_is_named_all_the_same():
    assert exposition([Metric(name="x", help="y", samples={})]) == "# HELP x y\n# TYPE x gauge\n"


def test_answers():
    monitor = Monitor(collect=lambda: [LEFT], is_ready=lambda: "no link")
    assert monitor.answer("/metrics") == (200, exposition([LEFT]))
    assert monitor.answer("/live")[0] == 200
    status, body = monitor.answer("/ready")
    assert (status, json.loads(body)) == (503, {"ready": False, "why": "no link"})
    assert monitor.answer("/")[0] == 404
    assert Monitor(collect=list, is_ready=str).answer("/ready")[0] == 200


def test_a_scrape_is_collected_once_in_a_while():
    asked = []

    def collect():
        asked.append(1)
        return [LEFT]

    monitor = Monitor(collect=collect, is_ready=str)
    assert monitor.answer("/metrics") == monitor.answer("/metrics")
    assert asked == [1]


def test_an_error_has_no_words():
    def collect():
        raise InputError("/srv/data/patients.csv: cannot be read")

    assert Monitor(collect=collect, is_ready=str).answer("/metrics") == (500, "InputError\n")


def test_it_is_served_while_its_daemon_lives():
    port, monitor = free_port(), Monitor(collect=lambda: [RUNS], is_ready=lambda: "not yet")
    process = Forked.start(
        lambda: serve_monitor(monitor, bind="127.0.0.1", port=port, parent=os.getppid())
    )
    try:
        await_until(lambda: got(port, "/live") == 200, "the monitor", seconds=30)
        assert got(port, "/metrics?x=1") == 200
        assert got(port, "/ready") == 503
        assert got(port, "/etc/passwd") == 404
        assert process.poll() is None
    finally:
        end_process(process)


def test_it_ends_with_its_daemon():
    started = time.monotonic()
    orphan = Forked.start(
        lambda: serve_monitor(
            Monitor(collect=list, is_ready=str), bind="127.0.0.1", port=free_port(), parent=1
        )
    )
    assert orphan.wait(30) == 0
    assert time.monotonic() - started < 30


def got(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None
