"""A data set of the benchmark: its options, columns and files. Most engines read it without Spark."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
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
KnownAt = Literal["none", "event"]

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
    - ``null_share``: the share of the values that are null;
    - ``batches``: the number of appends, each with rows of all keys and of the whole time, which are left as they are;
      None for ordinary batches, one period after the other, and a table that is optimized after them;
    - ``late``: the share of the values that the store learns only after the last of them became true;
    - ``known_at``: the same option of the join. It changes the answers, but not a row.
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
    batches: int | None = None
    late: float = 0.0
    known_at: KnownAt = "none"
    seed: int = 0

    @property
    def join_keys(self) -> dict[str, KeyKind]:
        return _JOIN_KEYS[self.key_type]

    @property
    def ttl_microseconds(self) -> int | None:
        return None if self.ttl is None else microseconds(parse_duration(self.ttl))

    @property
    def skips_nulls(self) -> bool:
        """Whether there are nulls, and each feature takes its latest value that is not null."""
        return self.null_share > 0 and self.nulls == "skip"

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
        """A folder name that is unique to the rows and files of these options."""
        written = asdict(replace(self, known_at="none"))
        digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
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

    @property
    def references(self) -> list[str]:
        """All features, as the feature store names them."""
        return [f"{group.name}:{feature}" for group in self.groups for feature in group.features]

    @classmethod
    def read(cls, folder: Path, known_at: KnownAt = "none") -> Dataset:
        """The data set in a folder, to be joined with this ``known_at``."""
        description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        groups = [GroupFiles(**group).under(folder) for group in description["groups"]]
        options = replace(Options(**description["options"]), known_at=known_at)
        return cls(options, folder, groups)


def warehouse(folder: Path) -> Path:
    return folder / "warehouse"


def spine(folder: Path) -> Path:
    return folder / "spine"


def is_complete(folder: Path) -> bool:
    return (folder / _DESCRIPTION).exists()


def complete(folder: Path, options: Options, groups: list[GroupFiles]) -> None:
    """Write the description, which marks the folder as complete; the groups' paths are relative to the folder."""
    description = {"options": asdict(replace(options, known_at="none")), "groups": [asdict(group) for group in groups]}
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
