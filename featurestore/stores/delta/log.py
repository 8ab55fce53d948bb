"""A Delta table's log, read without a query: its commits, newest first, and the facts of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from featurestore.stores.file_system import Files

COMMIT = re.compile(r"(\d{20})\.json")


class Transaction(NamedTuple):
    """Makes an append happen once: a second append with the same application id and version changes nothing."""

    app_id: str
    version: int = 1


@dataclass(frozen=True)
class LogCommit:
    """One commit file of the log: its version, when it was written (milliseconds since 1970), and its contents."""

    version: int
    written: int
    info: Mapping[str, Any]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> LogCommit:
        """A commit as delta-rs or Spark's history describes it; ``timestamp`` is in milliseconds or an instant."""
        at = info["timestamp"]
        return cls(int(info["version"]), at if isinstance(at, int) else round(at.timestamp() * 1000), info)

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.written / 1000, UTC)

    @property
    def operation(self) -> str:
        return str(self.info.get("operation"))

    @property
    def user_metadata(self) -> str | None:
        """What the writer left with the commit, as text."""
        return self.info.get("userMetadata")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The writer's user metadata, if it is a JSON object."""
        try:
            metadata = json.loads(self.user_metadata or "null")
        except json.JSONDecodeError:
            return {}
        return metadata if isinstance(metadata, dict) else {}

    def metric(self, name: str) -> int:
        return int((self.info.get("operationMetrics") or {}).get(name, 0))


@dataclass(frozen=True)
class DeltaLog:
    """The files of a table's log, read without a query."""

    files: Files
    folder: str

    def newest_version(self) -> int:
        """The version of the newest commit."""
        return max(version for version, _ in self._commits())

    def commits(self) -> Iterator[LogCommit]:
        """All commits that the log still has, newest first."""
        for version, written in sorted(self._commits(), reverse=True):
            text = self.files.read_text(f"{self.folder}/{version:020}.json")
            infos = (json.loads(line) for line in text.split("\n") if '"commitInfo"' in line)
            info: Mapping[str, Any] = next((action["commitInfo"] for action in infos if "commitInfo" in action), {})
            yield LogCommit(version, written, info)

    def _commits(self) -> list[tuple[int, int]]:
        names = ((COMMIT.fullmatch(name), written) for name, written in self.files.files_in(self.folder))
        return [(int(match[1]), written) for match, written in names if match]


def file_name(path: str) -> str:
    return path.rpartition("/")[2]
