"""A real Kafka in KRaft mode: one listener for the tests, one with SCRAM behind a fault proxy, one
with TLS that requires a client certificate.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization

from tests.servers.processes import Server, free_port, require, wait_until
from tests.servers.stores import SECRET

JVM = (
    "-Xmx320m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
USER = "tracesidecar"
_JAAS = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class Ports(NamedTuple):
    """`proxied` is where the fault proxy listens, because brokers tell their clients where to go;
    `scram` is behind it.
    """

    plain: int
    controller: int
    scram: int
    proxied: int
    tls: int


class Broker:
    """A broker process with its folder; it keeps its data when it is restarted."""

    def __init__(self, folder: Path) -> None:
        self.ports = Ports(*(free_port() for _ in range(5)))
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        self._folder = folder
        self._settings = folder / "server.properties"
        self._jars = str(require("kafka") / "*")
        self.server = Server(
            ["java", *JVM, "-cp", self._jars, "kafka.Kafka", self._settings],
            self.ports.plain,
            folder / "log",
        )

    def start_new(self) -> None:
        """Make the folder and start."""
        certificate = self.ca.issue_cert("127.0.0.1")
        self._settings.write_text(self._properties(certificate))
        scram = ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={SECRET}]"]
        command = [
            "java",
            *JVM,
            "-cp",
            self._jars,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER,
            "-c",
            str(self._settings),
            *scram,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        self.start()

    def start(self) -> None:
        """Start, or start again; return when it is the leader."""
        self.server.start()
        wait_until(self._answers)

    def make_topic(self, name: str, **settings: str) -> None:
        """Create a topic with one partition, so that its messages have one order."""
        admin = self.admin()  # pending requests end with the client
        made = admin.create_topics(
            [NewTopic(name, num_partitions=1, replication_factor=1, config=settings)]
        )
        made[name].result(timeout=120)

    def set_password(self, password: str) -> None:
        """Set the user's password."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        admin = self.admin()
        changed = admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(USER, info, password.encode())]
        )
        changed[USER].result(timeout=120)

    def messages(self, topic: str, isolation: str = "read_committed") -> list[Message]:
        """Read a topic from its beginning to its end."""
        consumer = Consumer(
            {
                "bootstrap.servers": f"127.0.0.1:{self.ports.plain}",
                "group.id": "reader",
                "isolation.level": isolation,
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            found: list[Message] = []
            while True:
                for message in consumer.consume(5000, timeout=1.0):
                    if message.error() is not None:
                        return found
                    found.append(message)
        finally:
            consumer.close()

    def admin(self) -> AdminClient:
        """Make a client that may do everything."""
        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self.ports.plain}"})

    def _answers(self) -> bool:
        try:
            return bool(self.admin().list_topics(timeout=1.0).brokers)
        except KafkaException:
            return False

    def _properties(self, certificate: trustme.LeafCert) -> str:
        store = self._folder / "server.pem"
        store.write_bytes(
            _pkcs8(certificate) + b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        )
        p = self.ports
        names = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{p.controller}",
            "listeners": f"PLAIN://127.0.0.1:{p.plain},CONTROLLER://127.0.0.1:{p.controller},SCRAM://127.0.0.1:{p.scram},TLS://127.0.0.1:{p.tls}",
            "advertised.listeners": f"PLAIN://127.0.0.1:{p.plain},SCRAM://127.0.0.1:{p.proxied},TLS://127.0.0.1:{p.tls}",
            "listener.security.protocol.map": (
                "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_PLAINTEXT,TLS:SSL"
            ),
            "inter.broker.listener.name": "PLAIN",
            "controller.listener.names": "CONTROLLER",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": _JAAS,
            "listener.name.tls.ssl.client.auth": "required",
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(store),
            "listener.name.tls.ssl.truststore.type": "PEM",
            "listener.name.tls.ssl.truststore.location": str(self.ca_file),
            "log.dirs": str(self._folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        return "".join(f"{name}={value}\n" for name, value in names.items())


def _pkcs8(certificate: trustme.LeafCert) -> bytes:
    """Return the private key in PKCS #8, the only form that Java reads."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Run one broker for all tests; each test makes its own topic."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start_new()
    yield broker
    broker.server.stop()
