"""Asks a server, in its own protocol, whether it answers."""

import socket
import struct

TIMEOUT_S = 2


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def redis(port: int) -> bool:
    with connect(port) as server:
        server.sendall(b"PING\r\n")
        return server.recv(64).startswith(b"+PONG")


def nats(port: int) -> bool:
    with connect(port) as server, server.makefile("rwb") as lines:
        if not lines.readline().startswith(b"INFO "):
            return False
        lines.write(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
        lines.flush()
        return lines.readline().strip() == b"PONG"


def nats_greets(port: int) -> bool:
    """What it says before it asks for TLS."""
    with connect(port) as server, server.makefile("rb") as lines:
        return lines.readline().startswith(b"INFO ")


def postgres_speaks_tls(port: int) -> bool:
    """An SSLRequest: it says yes by an S."""
    with connect(port) as server:
        server.sendall(struct.pack(">ii", 8, 80877103))
        return server.recv(1) == b"S"


def kafka(port: int) -> bool:
    """A metadata request, version 1, for no topic: the answer lists the brokers, and this one must be among them."""
    body = struct.pack(">hhih5si", 3, 1, 7, 5, b"probe", 0)
    with connect(port) as server, server.makefile("rwb") as stream:
        stream.write(struct.pack(">i", len(body)) + body)
        stream.flush()
        size = stream.read(4)
        answer = stream.read(struct.unpack(">i", size)[0]) if len(size) == 4 else b""
    return kafka_brokers(answer).count(port) == 1


def kafka_brokers(answer: bytes) -> list[int]:
    """The brokers' ports in a metadata answer, version 1: correlation id, then (node, host, port, rack)…"""
    if len(answer) < 8:
        return []
    count, at = struct.unpack_from(">i", answer, 4)[0], 8
    ports = []
    for _ in range(count):
        host = struct.unpack_from(">h", answer, at + 4)[0]
        at += 6 + host
        port, rack = struct.unpack_from(">ih", answer, at)
        at += 6 + max(rack, 0)
        ports.append(port)
    return ports
