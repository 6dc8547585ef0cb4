"""The shape of a server."""

import os
import signal
from pathlib import Path

from .. import authority
from ..paths import TOOLS


class Server:
    name: str
    """The variable that carries the address into the environment."""
    env_name: str
    """The key in `servers.json` that holds the address."""
    address_key = "url"
    ports_needed = 1
    stop_signal = signal.SIGTERM
    stop_patience_s = 10.0
    start_patience_s = 180.0

    def __init__(self, folder: Path, ports: list[int]):
        self.folder = folder
        self.ports = ports

    @property
    def port(self) -> int:
        return self.ports[0]

    """The tool that it runs, where that is not called as the server is."""
    tool_name: str | None = None

    @classmethod
    def needs(cls) -> str:
        return cls.tool_name or cls.name

    @property
    def tool(self) -> Path:
        return TOOLS / self.needs()

    @property
    def authority(self) -> Path:
        return authority.folder_of(self.folder.parent)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def prepare(self) -> None:
        """Makes what the server needs before it starts; what is there already stays."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        return {**os.environ, "LC_ALL": "C"}

    def address(self) -> str:
        return f"{self.name}://127.0.0.1:{self.port}"

    def more(self) -> dict[str, str]:
        """Further addresses, by the variables that carry them."""
        return {}

    def ready(self) -> bool:
        """Asks once. `OSError` means *not yet*."""
        raise NotImplementedError


def debian_env(tool: Path) -> dict[str, str]:
    """Packages unpacked beside the system find their libraries beside themselves."""
    libraries = sorted({str(path.parent) for path in (tool / "usr" / "lib").rglob("*.so.*")})
    return {**os.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(libraries)}
