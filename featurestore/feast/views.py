"""What is asked of each feature view: its source's columns, and the names of the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from feast import FeatureView
from feast.data_source import DataSource
from feast.errors import FeatureNameCollisionError
from feast.feature_view import DUMMY_ENTITY_ID

from featurestore.errors import SchemaError, nearest


@dataclass(frozen=True)
class SourceColumns:
    """The columns of a source, by its own names. ``created``: None if it has none."""

    event: str
    created: str | None

    @classmethod
    def of(cls, source: DataSource, names: Sequence[str]) -> SourceColumns:
        """Raises SchemaError if the source names no time column."""
        if not source.timestamp_field:
            raise SchemaError(f"source {source.name!r}: it names no timestamp_field; name the column of event times")
        own = Renamed(source, names)
        created = source.created_timestamp_column
        return cls(own.source(source.timestamp_field), own.source(created) if created else None)


@dataclass(frozen=True)
class Renamed:
    """The source's names for Feast's names, by the source's ``field_mapping``; ``names``: the source's columns."""

    mapped: DataSource
    names: Sequence[str]

    def source(self, name: str) -> str:
        """Raises SchemaError if the source has no such column."""
        own = {feast: source for source, feast in self.mapped.field_mapping.items() if source in self.names}
        found: str = own.get(name, name)
        if found not in self.names:
            raise SchemaError(f"source {self.mapped.name!r}: there is no column {name!r}. {nearest(name, self.names)}")
        return found


@dataclass(frozen=True)
class ViewLookup:
    """Features of one view to be joined to entity rows.

    - ``keys``: by the view's join key the column of the entity rows; none for a view without an entity;
    - ``outputs``: by feature the name of its column in the result;
    - ``ttl``: None for no limit.
    """

    name: str
    source: DataSource
    keys: Mapping[str, str]
    outputs: Mapping[str, str]
    ttl: timedelta | None

    @classmethod
    def of(cls, view: FeatureView, features: Sequence[str], full_feature_names: bool) -> ViewLookup:
        """Raises SchemaError for a view without a batch source."""
        if view.batch_source is None:
            raise SchemaError(
                f"feature view {view.name!r} has no batch source, so nothing can be joined; give it one, or "
                "materialize what it is computed of"
            )
        prefix = f"{view.projection.name_alias or view.name}__" if full_feature_names else ""
        mapped = view.projection.join_key_map
        keys = {
            column.name: mapped.get(column.name, column.name)
            for column in view.entity_columns
            if column.name != DUMMY_ENTITY_ID
        }
        ttl = view.ttl if view.ttl else None
        return cls(
            name=f"feature view {view.projection.name_to_use()!r}",
            source=view.batch_source,
            keys=keys,
            outputs={feature: f"{prefix}{feature}" for feature in features},
            ttl=ttl,
        )


def check_distinct_outputs(lookups: Sequence[ViewLookup], full_feature_names: bool) -> None:
    """Raise FeatureNameCollisionError if two features have one column.

    Feast itself checks the features that are named, but not the inputs of on-demand views.
    """
    outputs = Counter(output for lookup in lookups for output in lookup.outputs.values())
    if shared := [output for output, count in outputs.items() if count > 1]:
        raise FeatureNameCollisionError(
            shared if full_feature_names else [f":{output}" for output in shared], full_feature_names
        )
