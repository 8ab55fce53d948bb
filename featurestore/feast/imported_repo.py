"""Definitions of this store from a Feast registry: each view as a group in place over its source, where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import feast
import yaml
from feast import FeatureView, Field, FileSource, PushSource
from feast.data_format import DeltaFormat
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.types import (
    Array,
    Bool,
    FeastType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    String,
    UnixTimestamp,
    Uuid,
)

from featurestore.definitions.entity import Entity
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.in_place import InPlace
from featurestore.definitions.source import Source
from featurestore.errors import DefinitionError, NotFoundError
from featurestore.feast.sources import place_of_spark

_SCALARS: Mapping[FeastType, str] = {
    Float32: "float",
    Float64: "double",
    Int32: "int",
    Int64: "long",
    Bool: "boolean",
    String: "string",
    Uuid: "string",
    UnixTimestamp: "timestamp",
    Json: "json",
}
_KEYS = frozenset({"string", "long", "int", "boolean", "timestamp"})
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_]+")


class NoCounterpartError(Exception):
    """Something of Feast's cannot be said here; the message says why, and what to do instead."""


@dataclass(frozen=True)
class ImportedRepo:
    """``text``: the definitions as YAML; ``groups``: by view of Feast's the group; ``notes``: what was left out."""

    text: str
    groups: Mapping[str, FeatureGroup]
    notes: Mapping[str, str]


def import_repo(path: str | Path, *, tenant_column: str | None = None) -> ImportedRepo:
    """Read the registry of the Feast project in a folder.

    ``tenant_column``: the sources' column with each row's tenant; None: they belong to no tenant, and every tenant
    reads all rows. Raises NotFoundError if there is no such project, DefinitionError if no view can be imported.
    """
    folder = Path(path)
    if not (folder / "feature_store.yaml").is_file():
        raise NotFoundError(f"{folder}: there is no feature_store.yaml; name the folder of a Feast project")
    try:
        store = feast.FeatureStore(repo_path=str(folder))
        store.refresh_registry()
    # Whatever the project's registry and stores raise.
    except Exception as error:
        raise DefinitionError(f"{folder}: Feast cannot read its registry ({error}); run `feast apply` first") from error
    return _Import(store, folder.resolve(), tenant_column).imported()


@dataclass(frozen=True)
class _Import:
    store: feast.FeatureStore
    folder: Path
    tenant_column: str | None

    def imported(self) -> ImportedRepo:
        groups: dict[str, FeatureGroup] = {}
        notes = dict(self._without_counterpart())
        entities: dict[str, Entity] = {}
        for view in self.store.list_feature_views():
            try:
                group, left_out = self._group(view, entities)
            except (NoCounterpartError, DefinitionError) as error:
                notes[f"feature view {view.name}"] = str(error)
                continue
            taken = next((name for name, other in groups.items() if other.name == group.name), None)
            if taken is not None:
                notes[f"feature view {view.name}"] = f"its name here, {group.name!r}, is that of {taken!r}; rename one"
                continue
            entities[group.entity.name] = group.entity
            groups[view.name] = group
            if _names_its_own_access(view.batch_source):
                notes[f"feature view {view.name}, access to its source"] = (
                    "set endpoint and credentials in the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...), where "
                    "this store finds them"
                )
            if isinstance(view.stream_source, PushSource):
                notes[f"feature view {view.name}, push source {view.stream_source.name}"] = (
                    "nothing is pushed here; append the rows to the batch source, which is read where it is"
                )
            notes |= {f"feature view {view.name}, feature {name}": why for name, why in left_out.items()}
        if not groups:
            found = "; ".join(f"{name}: {why}" for name, why in notes.items()) or "it has no feature views"
            raise DefinitionError(f"{self.folder}: nothing of this project can be imported. {found}")
        return ImportedRepo(_as_yaml(entities, groups.values()), groups, notes)

    def _group(self, view: FeatureView, entities: Mapping[str, Entity]) -> tuple[FeatureGroup, dict[str, str]]:
        """The group, and the features that are left out."""
        if view.batch_source is None:
            raise NoCounterpartError("it has no batch source; import what it is computed of, or write its rows")
        if getattr(view, "feature_transformation", None) is not None:
            raise NoCounterpartError("it is computed by a transformation; declare a group with a transformation")
        entity = self._entity(view, entities)
        features: list[Feature] = []
        renamed: dict[str, str] = {}
        left_out: dict[str, str] = {}
        for field in view.features:
            try:
                feature = _feature(field)
            except (NoCounterpartError, DefinitionError) as error:
                left_out[field.name] = str(error)
                continue
            if feature.name in renamed:
                left_out[field.name] = (
                    f"its name here, {feature.name!r}, is that of {renamed[feature.name]!r}; rename one"
                )
                continue
            features.append(feature)
            renamed[feature.name] = field.name
        if not features:
            raise NoCounterpartError(f"none of its features can be imported: {left_out}")
        renamed |= {_name(column.name): column.name for column in view.entity_columns}
        group = FeatureGroup(
            _name(view.name),
            entity,
            features=features,
            description=view.description or "",
            owner=view.owner or "",
            tags=tuple(f"{key}={value}" for key, value in sorted(view.tags.items())),
            ttl=view.ttl if view.ttl else None,
            # Feast takes the latest row as a whole.
            nulls="keep",
            in_place=self._in_place(view, renamed),
        )
        return group, left_out

    def _entity(self, view: FeatureView, known: Mapping[str, Entity]) -> Entity:
        columns = [column for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
        if not columns:
            raise NoCounterpartError("it has no entity; a group needs one: add a constant join key to its source")
        keys = {_name(column.name): _key_type(column) for column in columns}
        if len(keys) < len(columns):
            raise NoCounterpartError(
                f"its join keys {[column.name for column in columns]} have the same names here ({', '.join(keys)}); "
                "rename one"
            )
        names = [_name(name) for name in view.entities]
        described = [each for each in self.store.list_entities() if each.name in view.entities]
        description = described[0].description if len(described) == 1 else ""
        entity = Entity("_".join(names), keys, description=description or "")
        if entity.name in known and known[entity.name].join_keys != entity.join_keys:
            raise NoCounterpartError(
                f"entity {entity.name!r} has other join keys in another view ({known[entity.name].join_keys}, here "
                f"{entity.join_keys}); give it another name in Feast"
            )
        return known.get(entity.name, entity)

    def _in_place(self, view: FeatureView, renamed: Mapping[str, str]) -> InPlace:
        """``renamed``: by name here the name in Feast."""
        source = view.batch_source
        own = {name: column for column, name in source.field_mapping.items()}
        columns = {name: own.get(other, other) for name, other in renamed.items()}
        created = source.created_timestamp_column
        return InPlace(
            self._source(source),
            event_timestamp=own.get(source.timestamp_field, source.timestamp_field),
            created_timestamp=own.get(created, created) if created else None,
            columns={name: column for name, column in columns.items() if name != column},
        )

    def _source(self, source: Any) -> Source:
        tenant: dict[str, Any] = (
            {"shared": True} if self.tenant_column is None else {"tenant_column": self.tenant_column}
        )
        if isinstance(source, FileSource):
            path = FileSource.get_uri_for_file_path(self.folder, source.path)
            return Source(path=path, format=_format(isinstance(source.file_format, DeltaFormat)), **tenant)
        if isinstance(source, SparkSource):
            if source.table and not source.query:
                return Source(table=source.table, **tenant)
            if (place := place_of_spark(source)) is not None:
                return Source(path=place.path, format=_format(place.is_delta), **tenant)
        raise NoCounterpartError(
            f"its source {source.name!r} is a {type(source).__name__} that is no table of Delta or Parquet; land its "
            "rows in one, or declare a group with a transformation"
        )

    def _without_counterpart(self) -> Iterator[tuple[str, str]]:
        for view in self.store.list_on_demand_feature_views():
            names = ", ".join(field.name for field in view.features)
            yield (
                f"on-demand view {view.name}",
                f"write a derived feature for each of its features ({names}); its code may stay as the function",
            )
        for view in self.store.list_stream_feature_views():
            yield f"stream view {view.name}", "there are no streams here; write its rows in batches"
        for view in self.store.list_label_views():
            yield f"label view {view.name}", "labels are columns of the examples that you pass"
        for service in self.store.list_feature_services():
            asked = [
                f"{_name(each.name_to_use())}:{_name(feature.name)}"
                for each in service.feature_view_projections
                for feature in each.features
            ]
            yield (
                f"feature service {service.name}",
                f"name these features in a training set definition, or where you ask for them: {', '.join(asked)}",
            )
        for dataset in self.store.list_saved_datasets():
            yield f"saved dataset {dataset.name}", "build the training set anew; it gets a version and a manifest"


def _names_its_own_access(source: Any) -> bool:
    """Whether a source names an endpoint or credentials, which no definition does here."""
    return bool(source.connection_ref or getattr(source, "s3_endpoint_override", None))


def _format(is_delta: bool) -> Any:
    return "delta" if is_delta else "parquet"


def _name(name: str) -> str:
    """A name as it can be here: small letters, digits and underscores, beginning with a letter."""
    found = _NOT_IN_A_NAME.sub("_", name.lower()).strip("_")
    return found if found[:1].isalpha() else f"f_{found}"


def _key_type(field: Field) -> Any:
    word = _SCALARS.get(field.dtype)
    if word not in _KEYS:
        raise NoCounterpartError(
            f"its join key {field.name!r} is {field.dtype}; join keys are String, Int64, Int32, Bool or UnixTimestamp"
        )
    return word


def _feature(field: Field) -> Feature:
    return Feature(_name(field.name), _type(field), description=field.description or "")


def _type(field: Field) -> str:
    kind = field.dtype
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(kind, Array):
        length = getattr(field, "vector_length", 0)
        if kind.base_type == Float32 and getattr(field, "vector_index", False) and length:
            return f"embedding({length})"
        if kind.base_type in (Float32, Float64):
            return "array<double>"
        if kind.base_type == String:
            return "array<string>"
    raise NoCounterpartError(f"it is {kind}, which no feature type holds; store it as JSON text in a column of Json")


def _as_yaml(entities: Mapping[str, Entity], groups: Sequence[FeatureGroup] | Any) -> str:
    document = {
        "entities": [_fields(entity) for entity in entities.values()],
        "feature_groups": [_fields(group) | {"entity": group.entity.name} for group in groups],
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _fields(definition: Entity | FeatureGroup) -> dict[str, Any]:
    fields: dict[str, Any] = definition.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return {"name": definition.name} | fields
