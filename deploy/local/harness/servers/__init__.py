"""One file a server: how it is prepared, started, asked and stopped. Nothing here knows of the others."""

from .kafka import Kafka
from .nats import Nats, SecuredNats
from .postgres import Postgres
from .redis import Redis
from .secured_postgres import SecuredPostgres
from .server import Server

SERVERS: dict[str, type[Server]] = {one.name: one for one in (Kafka, Nats, Redis, Postgres, SecuredNats, SecuredPostgres)}

# What Relay itself needs; the others are for tests of connections.
OPEN = ["kafka", "nats", "redis", "postgres"]
