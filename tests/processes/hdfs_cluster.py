"""HDFS on 127.0.0.1: a name node and a data node of Hadoop's own, in processes of their own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pyspark

from tests.processes.spark_submit import PROJECT
from tests.processes.waiting import wait_for

_HOST = "127.0.0.1"
_JARS = Path(pyspark.__file__).parent / "jars"
# The servers, which Spark does not ship, in the version of the client that it ships.
_SERVERS = ("org.apache.hadoop", "hadoop-client-minicluster", "3.5.0")
_SHIPPED = ("hadoop-client-*", "jcl-over-slf4j-*", "log4j-*", "slf4j-api-*")


@contextmanager
def hdfs_cluster(folder: Path) -> Iterator[str]:
    """The URI of an empty HDFS that runs meanwhile; data and logs are in ``folder``. Raises TimeoutError with a log."""
    port, classpath = _free_port(), _classpath(folder)
    properties = {
        "fs.defaultFS": f"hdfs://{_HOST}:{port}",
        "dfs.replication": "1",
        "dfs.permissions.enabled": "false",
        "dfs.namenode.name.dir": str(folder / "names"),
        "dfs.datanode.data.dir": str(folder / "data"),
        "dfs.namenode.http-address": f"{_HOST}:0",
        **{f"dfs.datanode.{server}address": f"{_HOST}:0" for server in ("", "http.", "ipc.")},
    }
    pairs = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items()
    )
    for name in ("core-site.xml", "hdfs-site.xml"):
        (folder / name).write_text(f"<configuration>{pairs}</configuration>", encoding="utf-8")
    name_node = ["java", "-Xmx256m", "-cp", classpath, "org.apache.hadoop.hdfs.server.namenode.NameNode"]
    subprocess.run([*name_node, "-format", "-nonInteractive"], check=True, capture_output=True)
    with ExitStack() as running:
        log = running.enter_context((folder / "name_node.log").open("wb"))
        running.enter_context(_process(name_node, log))
        wait_for("name node", lambda: _listens(port) or None, (folder / "name_node.log").read_text)
        log = running.enter_context((folder / "data_node.log").open("wb"))
        data_node = ["java", "-Xmx256m", "-cp", classpath, "org.apache.hadoop.hdfs.server.datanode.DataNode"]
        running.enter_context(_process(data_node, log))
        # The name node made the folder of its block pool there once it knows the data node.
        registered = folder / "data" / "current"
        wait_for("data node", lambda: list(registered.glob("BP-*")) or None, (folder / "data_node.log").read_text)
        yield properties["fs.defaultFS"]


def _classpath(folder: Path) -> str:
    """The settings in ``folder``, Hadoop's servers, fetched from Maven if need be, and what Spark ships for them."""
    fetched = PROJECT / ".ivy" / "servers"
    ivy = ["java", "-cp", str(next(_JARS.glob("ivy-*.jar"))), "org.apache.ivy.Main", "-cache", str(PROJECT / ".ivy")]
    subprocess.run(
        [*ivy, "-dependency", *_SERVERS, "-notransitive", "-retrieve", f"{fetched}/[artifact]-[revision].[ext]"],
        check=True,
        capture_output=True,
    )
    shipped = sorted(str(jar) for pattern in _SHIPPED for jar in _JARS.glob(f"{pattern}.jar"))
    return ":".join((str(folder), *(str(jar) for jar in fetched.glob("*.jar")), *shipped))


@contextmanager
def _process(command: list[str], log: IO[bytes]) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0
