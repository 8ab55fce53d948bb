"""The watcher process: runs the embedded PostgreSQL as its child, and stops it when nobody uses it any more.

Each process that uses the server holds a shared lock on a file as long as the process lives, however it ends; the
watcher waits for the exclusive lock. It runs from this module's source, which may be in a wheel, with only the standard
library, so that it is small and starts quickly.

    python -c <this file> <folder> <folder of the socket> <user or -> <program> <arguments of the program...>
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_SECONDS_TO_STOP = 60


def _end_with_this_process() -> None:
    """Make the server end when this process ends. Only Linux can guarantee this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGINT)


def _stop_when_unused(server: subprocess.Popen[bytes], users: int, unused: threading.Event) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    # This process holds the lock until it ends: a new user of the server waits for that, and starts the server again.
    unused.set()
    server.send_signal(signal.SIGINT)
    try:
        server.wait(_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)


def run(folder: Path, socket_folder: Path, user: str | None, command: list[str]) -> int:
    running = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # Another watcher is already running.
    users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            preexec_fn=_end_with_this_process,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    unused = threading.Event()
    threading.Thread(target=_stop_when_unused, args=(server, users, unused), daemon=True).start()
    code = server.wait()
    if unused.is_set():
        # Nobody else would remove a socket's folder in the temporary folder.
        with contextlib.suppress(OSError):
            socket_folder.rmdir()
    return code


if __name__ == "__main__":
    folder, socket_folder, user, *command = sys.argv[1:]
    sys.exit(run(Path(folder), Path(socket_folder), None if user == "-" else user, command))
