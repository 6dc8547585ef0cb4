"""Apache Kafka: one node that is broker and controller (KRaft), sized for a laptop.

Topics are never created by use: `deploy/topics.yaml` is the only list. Replication is 1, so that a broker killed
and started again is an outage with all its data, not a loss. Beside the open listener there are two as companies have them:
SASL_SSL for a user with SCRAM-SHA-512, and TLS for whoever has a certificate of our authority.
"""

import shutil

from ..authority import PASSWORD, USER
from ..paths import LOCAL
from ..process import spawn
from ..say import Failed, tail
from .. import probes
from .server import Server

# Any UUID in Kafka's base64 form; the same for every local cluster, none of which ever meets another.
CLUSTER = "UmVsYXktbG9jYWwtMDAwMQ"

SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"

LARGEST_RECORD = 16 * 1024 * 1024


class Kafka(Server):
    name = "kafka"
    env_name = "RELAY_KAFKA_BROKERS"
    address_key = "bootstrap"
    ports_needed = 4

    def prepare(self) -> None:
        if not shutil.which("java"):
            raise Failed("`java` is missing; mend it with: openjdk-17-jre-headless")
        settings = self.folder / "server.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in self.settings().items()))
        if (self.folder / "data" / "meta.properties").exists():
            return
        format_log = self.folder / "format.log"
        arguments = ["format", "--cluster-id", CLUSTER, "--config", str(settings)]
        arguments += ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
        quick = ["-XX:TieredStopAtLevel=1", "-Xmx128m"]
        command = self.java(*quick, "kafka.tools.StorageTool", *arguments)
        if spawn(command, cwd=self.folder, log=format_log, env=self.env()).wait() != 0:
            raise Failed(f"Kafka's storage could not be formatted:\n{tail(format_log.read_text())}")

    def command(self) -> list[str]:
        return self.java("-Xmx512m", "kafka.Kafka", str(self.folder / "server.properties"))

    def java(self, *arguments: str) -> list[str]:
        log_settings = f"-Dlog4j2.configurationFile={LOCAL / 'kafka' / 'log4j2.xml'}"
        return ["java", "-cp", f"{self.tool}/*", log_settings, *arguments]

    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def more(self) -> dict[str, str]:
        _, _, scram, mutual = self.ports
        return {"RELAY_KAFKA_SCRAM": f"127.0.0.1:{scram}", "RELAY_KAFKA_MUTUAL": f"127.0.0.1:{mutual}"}

    def ready(self) -> bool:
        return probes.kafka(self.port)

    def settings(self) -> dict[str, object]:
        broker, controller, scram, mutual = self.ports
        open_to_all = {"PLAINTEXT": broker, "SCRAM": scram, "MUTUAL": mutual}
        listeners = [f"{name}://127.0.0.1:{port}" for name, port in open_to_all.items()]
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*listeners, f"CONTROLLER://127.0.0.1:{controller}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.authority / "server-both.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority / "ca.pem",
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{SCRAM_LOGIN} required;",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "message.max.bytes": LARGEST_RECORD,
            "replica.fetch.max.bytes": LARGEST_RECORD,
            "default.replication.factor": 1,
            "min.insync.replicas": 1,
            # The internal topics: one copy, few partitions. Fifty of them cost seconds at start and stop.
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            # A group forms at once, and a dead member is noticed as soon as a broker allows by default.
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 6000,
            # After `kill -9` the controller lets the broker back in once its old session has ended: 3 s instead of 9.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # Two cores and half a gibibyte, shared with everything else.
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            "num.recovery.threads.per.data.dir": 2,
            "log.cleaner.threads": 1,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }
