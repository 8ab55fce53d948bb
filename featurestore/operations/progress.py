"""What a running job tells of its progress, for whoever shows it."""

from __future__ import annotations


class Progress:
    """Told how far a job is; the default shows nothing. Its methods may be called by any thread, and raise nothing."""

    def rows(self, done: int, total: int | None = None) -> None:
        """So many rows are done, of ``total``; None leaves the total as it was, at first unknown."""

    def host(self, name: str) -> None:
        """The first of a job's joins is made by this host; see ``operations.as_of.hosts``."""
