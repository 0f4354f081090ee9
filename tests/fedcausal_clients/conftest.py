"""One home folder, a gate over it, a toy kind of statistic, and a PostgreSQL server."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pytest

from fedcausal.study import Study
from fedcausal_clients.egress import Gate
from fedcausal_clients.site_config import Policy
from fedcausal_clients.state_store import StateStore
from fedcausal_privacy.audit import AuditLog
from fedcausal_privacy.dp.ledger import Ledger
from fedcausal_privacy.statistic_spec import StatisticSpec


class ToyKind:
    """Counts the rows; `wide` is the width it claims."""

    name = "toy"

    def __init__(self, part="graph", wide=1):
        self.part, self.wide = part, wide

    def spec(self, study, request, num_sites):
        return StatisticSpec(name="toy", length=1, bound=10**6, counts=(0,), min_cell=5)

    def compute(self, study, request, source, rng):
        return np.array([sum(t.num_rows for t in source.batches())], dtype=np.int64)

    def width(self, study, request):
        return self.wide


def make_study(**sections):
    return Study.model_validate(
        {
            "variables": {
                "age": {"kind": "continuous", "bounds": [0, 120]},
                "dose": {"kind": "continuous", "bounds": [0, 10]},
            },
            **sections,
        }
    )


@pytest.fixture
def study():
    return make_study()


@pytest.fixture
def make_gate(tmp_path):
    """A function from policy keys to a gate; all its ledgers are closed at the end."""
    ledgers = []

    def make(study, **policy):
        ledgers.append(Ledger(tmp_path / "ledger.db"))
        return Gate(
            site="north",
            policy=Policy.model_validate(policy),
            approved=frozenset({study.hash()}),
            ledger=ledgers[-1],
            audit=AuditLog(path=tmp_path / "audit.jsonl"),
            store=StateStore.open(tmp_path / "state"),
        )

    yield make
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def toy_kind():
    return ToyKind


@pytest.fixture
def new_study():
    return make_study


@dataclass(frozen=True)
class Server:
    """A server on a socket in a folder; `reader` may read what `grant` lets it."""

    folder: Path
    password: str

    @property
    def url(self):
        return f"postgresql://reader@/clinic?host={self.folder}"

    def connect(self, database="clinic"):
        return psycopg.connect(
            f"postgresql://owner@/{database}?host={self.folder}",
            password=self.password,
            autocommit=True,
        )

    def write(self, table, frame, types=None):
        """A table with the rows of a frame, all columns numeric unless `types` says otherwise."""
        types = types or {}
        columns = ", ".join(f'"{c}" {types.get(c, "double precision")}' for c in frame.columns)
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns})")
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False):
                    copy.write_row(row)
            cursor.execute(f"GRANT SELECT ON {table} TO reader")


def find_postgresql():
    """The folder of the server's programs; without them tests are skipped, but never in CI."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    folders += [Path(found).parent for found in [shutil.which("initdb")] if found]
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    missing = "needs a PostgreSQL server: apt-get install postgresql"
    if os.environ.get("FEDCAUSAL_REQUIRE_POSTGRESQL"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def postgresql():
    """A real server on a socket in a temporary folder, which asks for passwords (SCRAM)."""
    programs = find_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    options = {"check": True, "stdout": subprocess.DEVNULL}
    if os.getuid() == 0:  # initdb refuses root
        names = [entry.pw_name for entry in pwd.getpwall()]
        account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(folder, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    server = Server(folder=folder, password=secrets.token_hex(8))
    (folder / "password").write_text(server.password)
    (folder / "password").chmod(0o644)
    initdb = [programs / "initdb", "-D", folder / "data", "-U", "owner", "-A", "scram-sha-256"]
    subprocess.run(
        [*initdb, "--pwfile", folder / "password", "-E", "UTF8", "--locale=C", "-N"],
        cwd=folder,
        **options,
    )
    control = [programs / "pg_ctl", "-D", folder / "data", "-w", "-t", "60"]
    settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    start = ["-l", folder / "log", "-o", settings, "start"]
    subprocess.run([*control, *start], cwd=folder, **options)
    try:
        with server.connect("postgres") as connection:
            connection.execute("CREATE DATABASE clinic")
            connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{server.password}'")
        yield server
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], cwd=folder, **options)
        shutil.rmtree(folder)
