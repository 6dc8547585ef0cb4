"""NATS, core only: replies and control need no stream of its own."""

from .. import probes
from ..authority import PASSWORD, USER
from .server import Server


class Nats(Server):
    name = "nats"
    env_name = "RELAY_NATS_URL"

    def command(self) -> list[str]:
        return [str(self.tool / "usr" / "sbin" / "nats-server"), "--addr", "127.0.0.1", "--port", str(self.port)]

    def ready(self) -> bool:
        return probes.nats(self.port)


class SecuredNats(Nats):
    """With TLS for whoever has a certificate of our authority, and a password besides."""

    name = "secured-nats"
    env_name = "RELAY_NATS_TLS"
    tool_name = "nats"

    def command(self) -> list[str]:
        files = {"cert": "server.pem", "key": "server.key", "cacert": "ca.pem"}
        tls = [part for option, file in files.items() for part in (f"--tls{option}", str(self.authority / file))]
        return [*super().command(), "--tlsverify", *tls, "--user", USER, "--pass", PASSWORD]

    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ready(self) -> bool:
        return probes.nats_greets(self.port)
