"""Commits that delta-rs cannot make: those with an operation of their own, or with files of the Change Data Feed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from featurestore.stores.delta.data_files import DataFile, partition_text
from featurestore.stores.delta.delta_log import LogFile
from featurestore.stores.places import Folder

# The characters of paths that delta-rs does not encode in the log, besides letters and digits.
UNENCODED = "/!$&'()+,-.:;=@_~"
# The folder of files that say which rows a commit changed.
CHANGES = "_change_data"

Action = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class OwnCommit:
    """What a commit says of itself, and what it changes."""

    operation: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, int]
    actions: Sequence[Action] = ()

    def is_made(self, folder: Folder, version: int) -> bool:
        """Make the commit of this version of a table in this folder; False if another writer has made it."""
        info = {
            "timestamp": _now(),
            "operation": self.operation,
            "operationParameters": self.parameters,
            "isolationLevel": "SnapshotIsolation" if not self.actions else "Serializable",
            "isBlindAppend": not self.actions,
            "operationMetrics": {name: str(value) for name, value in self.metrics.items()},
            "engineInfo": "featurestore",
        }
        lines = [json.dumps(action, separators=(",", ":")) for action in ({"commitInfo": info}, *self.actions)]
        return folder.put_new(f"_delta_log/{version:020}.json", ("\n".join(lines) + "\n").encode())


def adding(file: DataFile) -> Action:
    return {"add": {**_described(file, file.path), "modificationTime": file.modified, "dataChange": True,
                    "stats": file.statistics}}  # fmt: skip


def changing(file: DataFile) -> Action:
    """A file of changed rows, whose path is that in ``CHANGES``."""
    return {"cdc": {**_described(file, f"{CHANGES}/{file.path}"), "dataChange": False}}


def removing(file: LogFile) -> Action:
    partition = {name: partition_text(value) for name, value in file.partition.items()}
    path = quote(file.path, safe=UNENCODED) if file.logged is None else file.logged
    return {"remove": {"path": path, "deletionTimestamp": _now(), "dataChange": True, "extendedFileMetadata": True,
                       "partitionValues": partition, "size": file.bytes}}  # fmt: skip


def _described(file: DataFile, path: str) -> Mapping[str, Any]:
    return {"path": quote(path, safe=UNENCODED), "partitionValues": dict(file.partition), "size": file.bytes}


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
