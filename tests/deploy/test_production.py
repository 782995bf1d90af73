"""The set-up for more than one person: PostgreSQL for the database, a password on the server."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import ROOT, TINY, House, copy_clone, free_port, wait_until

pytestmark = pytest.mark.deploy

PASSWORD = "operator:a password of the tests"


def program(name: str) -> str | None:
    """PostgreSQL's programs are not on the PATH where Debian puts them."""
    found = shutil.which(name)
    return found or next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)


def as_the_docs_say(pattern: str) -> str:
    found = re.search(pattern, (ROOT / "docs" / "production.md").read_text(), flags=re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; gives its address."""
    initdb, postgres, psql = program("initdb"), program("postgres"), program("psql")
    if initdb is None or postgres is None or psql is None:
        pytest.skip("PostgreSQL is not installed (Debian package: postgresql)")
    # It refuses to run as root. Its folder lies where another user may get to it, and sockets have short paths.
    someone = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    user = "nobody" if someone else getpass.getuser()
    folder = Path(subprocess.run([*someone, "mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    port = free_port()
    try:
        passwords = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        subprocess.run(
            [*someone, initdb, "-D", str(folder / "db"), "-U", user, *passwords, "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
        )
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-p", str(port)]
        server = subprocess.Popen(
            [*someone, postgres, "-D", str(folder / "db"), *options],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            at = [psql, "-q", "-h", str(folder), "-p", str(port), "-U", user, "postgres"]
            asked = [*at, "-c", "select 1"]
            wait_until(lambda: not subprocess.run(asked, capture_output=True).returncode, 60, "PostgreSQL answers")
            subprocess.run([*at, *shlex.split(as_the_docs_say(r"psql (-c \"create role .*\"$)"))], check=True)
            address = as_the_docs_say(r"^PREFECT_API_DATABASE_CONNECTION_URL=(.*)$")
            yield address.replace(":5432/", f":{port}/")
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def production(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        copy_clone(tmp_path_factory.mktemp("production") / "clone"),
        settings={
            "PREFECT_API_DATABASE_CONNECTION_URL": postgresql,
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PREFECT_API_AUTH_STRING": PASSWORD,
        },
    )
    (house.data / "inbox").mkdir()
    shutil.copy(house.data / "sample" / "reviews-columns.csv", house.data / "inbox")
    house.serve()
    try:
        house.make_now("deploy")
        house.pause()
        house.start("worker")
        yield house
    finally:
        house.stop_all()


def test_a_server_with_postgresql_that_asks_for_no_password_or_runs_nothing(production: House) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(
            urllib.request.Request(f"{production.url}/flows/filter", b"{}", {"content-type": "application/json"})
        )
    production.watch("train/weekly", **TINY, fit={"epochs": 1})
    production.watch("score/every-15-minutes")
    assert len(list(production.data.glob("scores/model=*/*.parquet"))) == 1
    assert not (production.data / ".prefect" / "prefect.db").exists()
