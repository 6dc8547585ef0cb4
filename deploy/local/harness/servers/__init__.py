"""One file a server: how it is prepared, started, asked and stopped. Nothing here knows of the others."""

from .kafka import Kafka
from .nats import Nats
from .postgres import Postgres
from .redis import Redis
from .server import Server

SERVERS: dict[str, type[Server]] = {"kafka": Kafka, "nats": Nats, "redis": Redis, "postgres": Postgres}
