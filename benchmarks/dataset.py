"""A data set of the benchmark: its options, columns and files. Most engines read it without Spark."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from featurestore.definitions.values.durations import microseconds, parse_duration

TENANT = "benchmark"
TIME = "event_timestamp"
# Written last, so that a folder that has it is complete.
_DESCRIPTION = "dataset.json"

Kind = Literal["double", "long", "string", "timestamp"]
KeyKind = Literal["long", "string"]
KeyType = Literal["long", "string", "composite"]
Nulls = Literal["skip", "keep"]

_JOIN_KEYS: dict[KeyType, dict[str, KeyKind]] = {
    "long": {"user_id": "long"},
    "string": {"user_id": "string"},
    "composite": {"shop_id": "long", "user_id": "string"},
}


@dataclass(frozen=True)
class Options:
    """The options of a data set; equal options give equal rows.

    - ``rows``: value rows in each of ``groups`` feature groups; ``columns``: features of each group, all doubles;
    - ``spine``: spine rows; ``keys``: the number of distinct keys of the values;
    - ``skew``: the share of the value and spine rows that have one key; the other rows are spread evenly;
    - ``ttl``: the feature groups' TTL, None for no end; ``nulls``: their null policy;
    - ``null_share``: the share of the values that are null.
    """

    rows: int
    spine: int
    keys: int
    columns: int = 8
    groups: int = 1
    skew: float = 0.0
    key_type: KeyType = "long"
    ttl: str | None = None
    nulls: Nulls = "skip"
    null_share: float = 0.0
    seed: int = 0

    @property
    def join_keys(self) -> dict[str, KeyKind]:
        return _JOIN_KEYS[self.key_type]

    @property
    def ttl_microseconds(self) -> int | None:
        return None if self.ttl is None else microseconds(parse_duration(self.ttl))

    @property
    def all_rows(self) -> int:
        return self.rows * self.groups + self.spine

    def features(self, group: int) -> list[str]:
        """The features of one group; no two groups share a name."""
        return [f"feature_{group}_{column}" for column in range(1, self.columns + 1)]

    @property
    def spine_columns(self) -> dict[str, Kind]:
        return {"id": "long", **self.join_keys, TIME: "timestamp", "label": "long"}

    @property
    def output_columns(self) -> dict[str, Kind]:
        """The columns of a join: the spine's columns and every group's features."""
        features: dict[str, Kind] = {
            name: "double" for group in range(1, self.groups + 1) for name in self.features(group)
        }
        return self.spine_columns | features

    @property
    def folder(self) -> str:
        """A folder name that is unique to these options."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.rows}-{digest[:12]}"


@dataclass(frozen=True)
class GroupFiles:
    """One feature group: its Delta table, and the data files of the table's newest version."""

    name: str
    features: list[str]
    table: str
    files: list[str]

    def under(self, folder: Path) -> GroupFiles:
        files = [str(folder / file) for file in self.files]
        return GroupFiles(self.name, self.features, str(folder / self.table), files)


@dataclass(frozen=True)
class Dataset:
    """A written data set: a feature store's warehouse and a spine in Parquet. All paths are absolute."""

    options: Options
    folder: Path
    groups: list[GroupFiles]

    @property
    def warehouse(self) -> str:
        return str(warehouse(self.folder))

    @property
    def spine(self) -> str:
        return str(spine(self.folder))

    @property
    def spine_files(self) -> list[str]:
        return sorted(str(file) for file in spine(self.folder).glob("*.parquet"))

    @property
    def keys(self) -> list[str]:
        return list(self.options.join_keys)

    @property
    def spine_columns(self) -> list[str]:
        return list(self.options.spine_columns)

    @classmethod
    def read(cls, folder: Path) -> Dataset:
        description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        groups = [GroupFiles(**group).under(folder) for group in description["groups"]]
        return cls(Options(**description["options"]), folder, groups)


def warehouse(folder: Path) -> Path:
    return folder / "warehouse"


def spine(folder: Path) -> Path:
    return folder / "spine"


def is_complete(folder: Path) -> bool:
    return (folder / _DESCRIPTION).exists()


def complete(folder: Path, options: Options, groups: list[GroupFiles]) -> None:
    """Write the description, which marks the folder as complete; the groups' paths are relative to the folder."""
    description = {"options": asdict(options), "groups": [asdict(group) for group in groups]}
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
