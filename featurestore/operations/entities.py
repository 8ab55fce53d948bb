"""Entities in an argument: one mapping of join keys, several, or a frame, read as the types of the join keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from featurestore.columnar.names import check_distinct, without_case
from featurestore.columnar.python_kinds import is_missing
from featurestore.columnar.rows.faults import Fault
from featurestore.columnar.rows.local_rows import read_values
from featurestore.columnar.user_frames import exact_table
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.errors import InvalidArgumentError, SpineError, nearest
from featurestore.frames.as_of.key_filter import with_broadcast_keys, with_keys
from featurestore.frames.as_of.spine import check_keys
from featurestore.frames.columns import column
from featurestore.frames.schema import key_fields
from featurestore.kinds.kind import Moments
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame
from featurestore.operations.context import Context
from featurestore.stores.arrow import to_spark

EntityKey: TypeAlias = Mapping[str, Any]
Entities: TypeAlias = EntityKey | Sequence[EntityKey] | DataFrame | pd.DataFrame | pa.Table


def entity_key(entity: Entity, key: object, zone: str | None = None) -> dict[str, Any]:
    """The join keys of one entity, each read as its type; raises InvalidArgumentError for anything else."""
    [row] = entity_rows(entity, [key], zone).to_pylist()
    return dict(row)


def entity_rows(entity: Entity, keys: Sequence[object], zone: str | None = None) -> pa.Table:
    """One row of typed join keys per entity, in the order of ``keys``. Raises InvalidArgumentError."""
    faults: list[list[Fault]] = [[] for _ in keys]
    mappings = [_checked(entity, key) for key in keys]
    columns = {
        name: read_values([mapping[name] for mapping in mappings], name, kind, faults, Moments(zone))
        for name, kind in entity.join_keys.items()
    }
    for key, misfits in zip(keys, faults, strict=True):
        if misfits:
            raise InvalidArgumentError(f"entity {key!r} of {entity.name!r}: {'; '.join(map(str, misfits))}")
    return pa.table(columns)


def _checked(entity: Entity, key: object) -> EntityKey:
    example = {name: f"<{kind}>" for name, kind in entity.join_keys.items()}
    if not isinstance(key, Mapping):
        raise InvalidArgumentError(
            f"entity {key!r} is {type(key).__name__}; give a mapping of the join keys of {entity.name!r}, as in "
            f"{example}"
        )
    unknown = [str(name) for name in key if name not in entity.join_keys]
    if unknown:
        raise InvalidArgumentError(
            f"entity {dict(key)!r}: {unknown} are not join keys of {entity.name!r}. {nearest(unknown[0], entity.keys)}"
        )
    missing = [name for name in entity.join_keys if key.get(name) is None]
    if missing:
        raise InvalidArgumentError(
            f"entity {dict(key)!r}: join keys {missing} of {entity.name!r} are missing; give {example}"
        )
    return key


def of_entities(context: Context, values: DataFrame, group: FeatureGroup, entities: Entities | None) -> DataFrame:
    """The values of these entities; of all entities if ``entities`` is None.

    The plan lists few keys and broadcasts many. A frame's other columns are ignored, and a repeated key counts once.
    Raises InvalidArgumentError, or SpineError for a frame without the keys or with keys of another type.
    """
    if entities is None:
        return values
    if isinstance(entities, DataFrame):
        return with_broadcast_keys(values, _typed_keys(entities, group))
    table = distinct_entities(context, group.entity, entities)

    def broadcast(rows: DataFrame) -> DataFrame:
        return with_broadcast_keys(rows, _typed_keys(to_spark(context.spark, table), group))

    return with_keys(values, table, table.num_rows, broadcast)


def distinct_entities(context: Context, entity: Entity, entities: Entities) -> pa.Table:
    """One row of typed join keys per entity, of entities in this process's memory. Raises InvalidArgumentError."""
    # Keep the first of equal keys, compared after reading them as their types, which tells 1 from True.
    return _as_table(context, entity, entities).group_by(entity.keys, use_threads=False).aggregate([])


def _as_table(context: Context, entity: Entity, entities: Any) -> pa.Table:
    zone = context.settings.timestamp_zone
    if isinstance(entities, Mapping):
        return entity_rows(entity, [entities], zone)
    if isinstance(entities, pd.DataFrame):
        keys = _key_positions(entity, list(entities.columns))
        columns = [[None if is_missing(value) else value for value in entities.iloc[:, position]] for position in keys]
        return entity_rows(
            entity, [dict(zip(entity.keys, row, strict=True)) for row in zip(*columns, strict=True)], zone
        )
    if isinstance(entities, pa.Table):
        keys = exact_table(entities.select(_key_positions(entity, entities.column_names)), "entities")
        return entity_rows(entity, keys.to_pylist(), zone)
    if isinstance(entities, Sequence) and not isinstance(entities, str | bytes):
        return entity_rows(entity, entities, zone)
    return entity_rows(entity, [entities], zone)


def _key_positions(entity: Entity, names: Sequence[object]) -> list[int]:
    """The positions of the join keys among the columns; raises SpineError if one is missing or comes twice."""
    _check_distinct_keys(entity, names)
    missing = [name for name in entity.keys if name not in names]
    if missing:
        raise SpineError(f"entities: columns {missing}, join keys of {entity.name!r}, are missing; found {list(names)}")
    return [names.index(key) for key in entity.keys]


def _check_distinct_keys(entity: Entity, names: Sequence[object]) -> None:
    """Raise SpineError if two columns are the same join key to Spark, which ignores case."""
    keys = {without_case(key) for key in entity.keys}
    check_distinct([name for name in names if isinstance(name, str) and without_case(name) in keys], "entities")


def _typed_keys(entities: DataFrame, group: FeatureGroup) -> DataFrame:
    fields = key_fields(group)
    _check_distinct_keys(group.entity, entities.columns)
    types = {field.name: field.dataType for field in fields}
    remedy = "rename the column that holds {key!r}, or add it"
    check_keys(entities, {name: name for name in types}, types, group.name, "entities", remedy)
    typed = [column(field.name).try_cast(field.dataType).alias(field.name) for field in fields]
    return entities.select(*typed).dropna().distinct()
