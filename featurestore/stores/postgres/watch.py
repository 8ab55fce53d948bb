"""A process of its own: runs the embedded PostgreSQL as its child, and stops it when nobody uses it any more.

Whoever uses the server holds a shared lock on a file as long as it lives, however it ends; this process waits for the
exclusive one. It is run by its source, which may be in a wheel, with the standard library alone, so that it is small and
starts at once.

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
    """A server must not outlive who stops it; of the systems, Linux alone can promise that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGINT)


def _stop_when_unused(server: subprocess.Popen[bytes], users: int, unused: threading.Event) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    # Held until this process ends: who comes now waits for the end, and starts the server anew.
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
        return 0  # Another one does this already.
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
        # One in the temporary folder would be left behind for good.
        with contextlib.suppress(OSError):
            socket_folder.rmdir()
    return code


if __name__ == "__main__":
    folder, socket_folder, user, *command = sys.argv[1:]
    sys.exit(run(Path(folder), Path(socket_folder), None if user == "-" else user, command))
