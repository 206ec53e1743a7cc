"""The example with a database driver, against a real PostgreSQL (Debian: package postgresql) and the guide's mesh.

`initdb` and `pg_ctl` must be there, so this room is no part of a plain `pytest`."""

from __future__ import annotations

import os
import pwd
import re
import runpy
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from roadstead import Overflow, Registry

EXAMPLES = Path(__file__).parents[2] / "python" / "examples"
ACCOUNT = "postgres"


class Database(NamedTuple):
    port: int
    user: str
    password: str


def run(*command: str) -> None:
    """As the account of the database: it refuses to serve for root."""
    account = ACCOUNT if os.getuid() == 0 else None
    done = subprocess.run(
        command, user=account, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        secret = folder / "password"
        secret.write_text("secret")
        if os.getuid() == 0:
            known = pwd.getpwnam(ACCOUNT)
            for path in (folder, secret):
                os.chown(path, known.pw_uid, known.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = str(folder / "data")
        run(
            "initdb",
            "-D",
            data,
            "-U",
            "meshed",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "-N",
            "--no-locale",
            "-E",
            "UTF8",
        )
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        run("pg_ctl", "start", "-w", "-D", data, "-l", str(folder / "log"), "-o", options)
        try:
            yield Database(port, "meshed", "secret")
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
            shutil.rmtree(data)


@pytest.fixture
def mesh(database: Database, tmp_path: Path) -> Path:
    """The guide's database, where it really is."""
    text = (EXAMPLES / "guide" / "07-postgres.yaml").read_text(encoding="utf-8")
    there = f"  resolution: STATIC\n  endpoints: [{{address: 127.0.0.1, ports: {{postgres: {database.port}}}}}]"
    text, count = re.subn(r"^  resolution: DNS.*$", there, text, flags=re.MULTILINE)
    assert count == 1
    file = tmp_path / "mesh.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_example(database: Database, mesh: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["postgres.py", str(mesh), database.user, database.password, "postgres"])
    runpy.run_path(str(EXAMPLES / "postgres.py"), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("the mesh allows 10 connections")
    assert said[1].startswith("PostgreSQL ")
    assert said[2] == "0 connections are counted"


def test_work_through_the_driver(database: Database, mesh: Path, engine_name: str) -> None:
    example = runpy.run_path(str(EXAMPLES / "postgres.py"))
    registry = Registry.from_files(mesh, backend=engine_name)
    made = [example["connect"](registry, database.user, database.password, "postgres") for _ in range(10)]
    with pytest.raises(Overflow):
        example["connect"](registry, database.user, database.password, "postgres")
    cursor = made[0].cursor()
    cursor.execute("CREATE TEMPORARY TABLE ships (name text, berth int)")
    cursor.executemany("INSERT INTO ships VALUES (%s, %s)", [["Ada", 1], ["Grace", 2]])
    made[0].commit()
    cursor.execute("SELECT name FROM ships ORDER BY berth DESC")
    assert [name for (name,) in cursor.fetchall()] == ["Grace", "Ada"]
    made.pop().close()
    made.append(example["connect"](registry, database.user, database.password, "postgres"))
    for one in made:
        one.close()
    assert example["active"](registry) == 0


def test_a_wrong_password_gives_the_place_back(database: Database, mesh: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "postgres.py"))
    registry = Registry.from_files(mesh)
    for _ in range(12):
        with pytest.raises(Exception, match="password authentication failed"):
            example["connect"](registry, database.user, "wrong", "postgres")
    assert example["active"](registry) == 0
