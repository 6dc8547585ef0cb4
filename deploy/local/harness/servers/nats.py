"""NATS, core only: replies and control need no stream of its own."""

from .. import probes
from .server import Server


class Nats(Server):
    name = "nats"
    env_name = "RELAY_NATS_URL"

    def command(self) -> list[str]:
        return [str(self.tool / "usr" / "sbin" / "nats-server"), "--addr", "127.0.0.1", "--port", str(self.port)]

    def ready(self) -> bool:
        return probes.nats(self.port)
