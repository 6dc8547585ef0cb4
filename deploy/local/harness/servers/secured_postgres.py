"""Debian's Postgres, for the pinned one is built without TLS: open to whoever has a certificate of our authority and a password.

It has no pgvector, and is for its connections alone.
"""

import os
import shutil
from pathlib import Path

from .. import probes
from ..authority import PASSWORD, USER
from .postgres import DATABASE, Postgres
from .server import debian_env

# Postgres does not read a key that others than its own user may read.
FILES = ("server.pem", "server.key", "ca.pem")


class SecuredPostgres(Postgres):
    name = "secured-postgres"
    env_name = "RELAY_POSTGRES_TLS"

    def secure(self) -> None:
        for name in FILES:
            shutil.copy(self.authority / name, self.data / name)
            (self.data / name).chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(self.data / name, "nobody", "nogroup")
        rule = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
        (self.data / "pg_hba.conf").write_text(rule)
        self.single_user(f"ALTER USER {USER} PASSWORD '{PASSWORD}'")

    def settings(self) -> dict[str, str]:
        certificate, key, authority = FILES
        tls = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": authority}
        return {**super().settings(), **tls, "jit": "off"}

    def address(self) -> str:
        return f"127.0.0.1:{self.port}/{DATABASE}"

    def env(self) -> dict[str, str]:
        return debian_env(self.tool)

    def ready(self) -> bool:
        return probes.postgres_speaks_tls(self.port)

    @property
    def bin(self) -> Path:
        return self.tool / "usr" / "lib" / "postgresql" / "15" / "bin"
