"""Manifests of saved training sets: what each version holds, and everything that it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from featurestore.columnar.derived.derived_feature import DerivedFeature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.finding import Finding
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import DERIVED
from featurestore.definitions.training_set import Missing
from featurestore.display.description import Display, Mark, Table, count, utc_text
from featurestore.display.displayed import Displayed
from featurestore.stores.outside.pins import SourcePin

# A column of an extended set: the number of the manifest's part that the row belongs to, from 0.
PART = "__part"


class GroupSnapshot(BaseModel):
    """A feature group as it was when a training set was built: its definition, and the version of its table.

    ``pin``: of a group in place, the state of the user's table; its ``table_version`` is that of a Delta table, else 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    revision: int
    table: str
    table_version: int
    definition: str
    pin: SourcePin | None = None

    @property
    def state(self) -> int | SourcePin:
        """What the group's values are read at."""
        return self.table_version if self.pin is None else self.pin

    @property
    def state_text(self) -> str:
        return f"table version {self.table_version}" if self.pin is None else str(self.pin)

    @property
    def group(self) -> FeatureGroup:
        return FeatureGroup.from_json(self.definition)


class DerivedSnapshot(BaseModel):
    """A derived feature as it was when a training set was built, with a hash of its definition and its code.

    ``code``: the SQL that ran, or the source of the Python function; empty if its source cannot be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    definition: str
    code: str
    code_hash: str

    @property
    def feature(self) -> DerivedFeature:
        return DerivedFeature.from_json(self.definition)


class SplitCuts(BaseModel):
    """Where a split was cut; this determines the part of every row, including rows that are added later.

    By time: the first instant of validation (if any) and of test, and the embargo before each. By chance or by entity:
    the columns that are hashed with the set's seed, the hash up to which rows are in test, and the hash up to which the
    following rows are in validation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["time", "random", "entity"] = "time"
    validation_from: datetime | None = None
    test_from: datetime | None = None
    embargo: timedelta | None = None
    columns: tuple[str, ...] = ()
    until_test: int | None = None
    until_validation: int | None = None

    def __str__(self) -> str:
        if self.kind == "time":
            gap = "" if self.embargo is None else f", after {self.embargo} in no part"
            return f"by time: validation from {self.validation_from or 'none'}, test from {self.test_from}{gap}"
        return "by chance" if self.kind == "random" else f"by entity: {', '.join(self.columns)}"


class PartSnapshot(BaseModel):
    """Rows of an extended training set that were joined together: their spine and their versions of the tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row_count: int
    spine_fingerprint: str
    groups: tuple[GroupSnapshot, ...]


class ErasureNote(BaseModel):
    """Records that rows of a published version were erased at the request of the person they are about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasure_id: str
    erased_at: datetime
    rows: int


class Manifest(Displayed, BaseModel):
    """Everything that is needed to know what a training set holds, and to build it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: str
    name: str
    version: int
    description: str = ""
    created_at: datetime
    location: str
    row_count: int
    content_hash: str
    label: str | None
    timestamp_column: str
    features: tuple[Lookup, ...]
    full_feature_names: bool
    known_at: Literal["event"] | datetime | None
    columns: tuple[str, ...]
    spine_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    feature_columns: tuple[str, ...]
    event_timestamp_columns: tuple[str, ...]
    spine_fingerprint: str
    spine_rows_before_sampling: int
    sample_size: int | None
    seed: int
    split: SplitCuts | None
    groups: tuple[GroupSnapshot, ...]
    code_version: str
    # If the label is a feature: which one, and how long after the row's timestamp its value is looked up.
    label_lookup: Lookup | None = None
    label_offset: timedelta = timedelta(0)
    stratify_by: tuple[str, ...] = ()
    missing: Missing = "keep"
    # Rows that were left out because a feature was missing.
    rows_dropped: int = 0
    expand_vectors: bool = False
    audit: tuple[Finding, ...] = ()
    rebuilt_from: int | None = None
    # If the set is extended: the version that it extends, and all its parts, oldest first.
    extends: int | None = None
    parts: tuple[PartSnapshot, ...] = ()
    # Spine rows that were left out because their entity was erased.
    rows_suppressed: int = 0
    # Erasures since the version was published; the counts and hashes above are of the remaining rows.
    erasures: tuple[ErasureNote, ...] = ()
    # A hash of the request, the spine, the groups' definitions and the code's version, by which a build recognises the
    # version that it would make again. None for rebuilt and extended versions, and for those of earlier releases.
    made_from: str | None = None
    # The derived features that were computed, each after those that it reads; what they read and nobody asked for; and
    # all lookups as they were asked for, those of derived features among them. Empty without derived features.
    derived: tuple[DerivedSnapshot, ...] = ()
    inputs: tuple[Lookup, ...] = ()
    requested: tuple[Lookup, ...] = ()

    @property
    def asked(self) -> tuple[Lookup, ...]:
        """The lookups of groups and of derived features, in the order of the request."""
        return self.requested or self.features

    @property
    def looked_up(self) -> list[tuple[str, Lookup, str]]:
        """For each feature column of a group: its name, its lookup and the feature's name in the group."""
        looked_up = [(lookup, feature) for lookup in self.features for feature in lookup.features]
        return [(name, *each) for name, each in zip(self.feature_columns, looked_up, strict=False)]

    @property
    def derived_columns(self) -> dict[str, DerivedFeature]:
        """The feature columns of derived features, which come after those of groups."""
        known = {snapshot.name: snapshot.feature for snapshot in self.derived}
        names = [feature for lookup in self.requested if lookup.group == DERIVED for feature in lookup.features]
        columns = self.feature_columns[len(self.looked_up) :]
        return {column: known[name] for column, name in zip(columns, names, strict=True)}

    @property
    def all_parts(self) -> tuple[PartSnapshot, ...]:
        """The parts; a set that was never extended has one."""
        whole = PartSnapshot(row_count=self.row_count, spine_fingerprint=self.spine_fingerprint, groups=self.groups)
        return self.parts or (whole,)

    def display(self) -> Display:
        """Show what the set holds, what it was made from, and what the audit found."""
        facts = {
            "rows": count(self.row_count),
            "created at": utc_text(self.created_at),
            "label": self.label or "none",
            "features": ", ".join(self.feature_columns),
            "known at": self.known_at or "whenever it came",
            "split": self.split or "none",
            "sample": f"{self.sample_size:,}, seed {self.seed}" if self.sample_size is not None else None,
            "made from": ", ".join(f"{group.name} v{group.version} ({group.state_text})" for group in self.groups),
            "derived": ", ".join(f"{each.name} v{each.version}" for each in self.derived) or None,
            "audit": self._audit_summary(),
            "content hash": self.content_hash,
            "code version": self.code_version,
            "location": self.location,
        }
        return Display(
            f"Training set {self.name} v{self.version} of {self.tenant_id}",
            lines=(self.description,) if self.description else (),
            facts=tuple((name, fact) for name, fact in facts.items() if fact is not None),
        )

    def _audit_summary(self) -> str | Mark:
        counts = Counter(finding.severity for finding in self.audit)
        parts = [f"{counts[severity]} {severity}" for severity in ("error", "warning", "info") if counts[severity]]
        if not parts:
            return Mark("clear", "good")
        return Mark(", ".join(parts), "bad" if counts["error"] else "warning" if counts["warning"] else "muted")

    def __repr__(self) -> str:
        return f"Manifest({self.name!r}, version={self.version}, rows={self.row_count}, label={self.label!r})"


def describe_manifests(manifests: Sequence[Manifest], problems: Sequence[str] = ()) -> Display:
    """Show one line per saved version, after the versions that cannot be read."""
    lines = tuple(Mark(problem, "bad") for problem in problems)
    if not manifests:
        return Display("" if problems else "There are no training sets yet.", lines=lines)
    columns = ("training set", "version", "created at", "rows", "features", "label", "content hash")
    rows = tuple(
        (
            manifest.name,
            manifest.version,
            utc_text(manifest.created_at),
            count(manifest.row_count),
            count(len(manifest.feature_columns)),
            manifest.label,
            manifest.content_hash[:12],
        )
        for manifest in manifests
    )
    return Display(lines=lines, tables=(Table(columns, rows),))
