"""Redis, with an append-only file so that a restart finds the same data; open on one port, and on another one with TLS for
whoever has a certificate of our authority.
"""

from .. import probes
from ..authority import PASSWORD, USER
from .server import Server, debian_env


class Redis(Server):
    name = "redis"
    env_name = "RELAY_REDIS_URL"
    ports_needed = 2

    def prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)

    def command(self) -> list[str]:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder / "data"),
            "appendonly": "yes",
            "save": "",
            "daemonize": "no",
            "tls-port": str(self.ports[1]),
            "tls-cert-file": str(self.authority / "server.pem"),
            "tls-key-file": str(self.authority / "server.key"),
            "tls-ca-cert-file": str(self.authority / "ca.pem"),
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        arguments += ["--user", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all"]
        return [str(self.tool / "usr" / "bin" / "redis-server"), *arguments]

    def env(self) -> dict[str, str]:
        return debian_env(self.tool)

    def more(self) -> dict[str, str]:
        return {"RELAY_REDIS_TLS": f"127.0.0.1:{self.ports[1]}"}

    def ready(self) -> bool:
        return probes.redis(self.port)
