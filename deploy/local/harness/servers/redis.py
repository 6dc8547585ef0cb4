"""Redis, with an append-only file so that a restart finds the same data."""

from .. import probes
from .server import Server, debian_env


class Redis(Server):
    name = "redis"
    env_name = "RELAY_REDIS_URL"

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
        }
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(self.tool / "usr" / "bin" / "redis-server"), *arguments]

    def env(self) -> dict[str, str]:
        return debian_env(self.tool)

    def ready(self) -> bool:
        return probes.redis(self.port)
