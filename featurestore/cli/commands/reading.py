"""Commands that read values: get, history, batch, join, aggregate, search, stats, entity-timestamps."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from featurestore.cli.arguments import (
    ANY_ENTITY,
    End,
    EntityPairs,
    ExportFormat,
    Format,
    KnownAt,
    Limit,
    Output,
    Reference,
    References,
    Spine,
    Start,
    TimestampColumn,
    entity_of,
    entity_option,
    instant,
    pairs,
    plain_rows,
    rows_of,
    typed,
)
from featurestore.cli.invocation import Invocation
from featurestore.definitions.names import parse_reference
from featurestore.definitions.values.time_window import in_utc
from featurestore.operations.instants import MOST_ROWS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from featurestore.definitions.feature_group import FeatureGroup
    from featurestore.feature_store import FeatureStore
    from featurestore.offline_store import OfflineStore
    from featurestore.operations.given_as import To


def get(
    invocation: Invocation,
    features: References,
    entity: EntityPairs,
    at: Annotated[str, instant("--at", "The moment: 2026-11-01T00:00:00Z.")],
    known_at: KnownAt = None,
) -> None:
    """Show the values that were valid for one entity at a moment."""
    fs, store = _open(invocation)
    values = store.get_features_at_time(
        features, entity_of(_group(fs, features[0]).entity, entity), at, known_at=known_at
    )
    rows = [
        {"feature": name} | ({} if value is None else {k: in_utc(v) for k, v in asdict(value).items()})
        for name, value in values.items()
    ]
    columns = ["feature", "value", "event_timestamp", "created_timestamp", "model_version"]
    complete = [{name: row.get(name) for name in columns} for row in rows]
    invocation.answer({row["feature"]: row if "value" in row else None for row in rows}, rows_of(complete, columns))


def history(
    invocation: Invocation,
    feature: Reference,
    entity: EntityPairs,
    start: Annotated[str | None, instant("--start", "First instant, inclusive; no bound by default.")] = None,
    end: Annotated[str | None, instant("--end", "Last instant, inclusive; no bound by default.")] = None,
    limit: Limit = 20,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Also the values that were corrected.")] = False,
) -> None:
    """Show one feature of one entity over time, newest first."""
    fs, store = _open(invocation)
    key = entity_of(_group(fs, feature).entity, entity)
    values = store.get_feature_history(feature, key, start, end, limit=limit, all_versions=all_versions, to="arrow")
    _show(invocation, values, limit)


def batch(
    invocation: Invocation,
    features: References,
    start: Start,
    end: End,
    entity: Annotated[list[str] | None, ANY_ENTITY] = None,
    limit: Limit = 20,
    output: Output = None,
    format: Format = "parquet",
) -> None:
    """Show, or write to files, all values of a time range: one row per entity and event timestamp."""
    fs, store = _open(invocation)
    _check_output(invocation, fs, output, format)
    to: To = "arrow" if output is None else "spark"
    values = store.get_batch_features(features, start, end, entities=_entities(fs, features[0], entity), to=to)
    _show_or_write(invocation, fs, store, values.rows, limit, output, format)


def join(
    invocation: Invocation,
    features: References,
    spine: Spine,
    timestamp_column: TimestampColumn = "event_timestamp",
    known_at: KnownAt = None,
    full_feature_names: Annotated[
        bool, typer.Option("--full-feature-names", help="Name columns group__feature.")
    ] = False,
    with_timestamps: Annotated[
        bool, typer.Option("--with-timestamps", help="Also show the newest event timestamp per group.")
    ] = False,
    host: Annotated[
        Literal["in_process", "in_tasks", "by_shuffle"] | None, typer.Option("--host", help="Where to join.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where the join would run, and what it would read, instead.")
    ] = False,
    limit: Limit = 20,
    output: Output = None,
    format: Format = "parquet",
) -> None:
    """Join features to the examples of a Parquet file as of each one's time; show the rows, or write them to files."""
    fs, store = _open(invocation)
    _check_output(invocation, fs, output, format)
    from featurestore.operations.reading.spine_file import spine_of_file

    options: dict[str, Any] = {
        "timestamp_column": timestamp_column,
        "known_at": known_at,
        "full_feature_names": full_feature_names,
        "with_timestamps": with_timestamps,
        "host": host,
    }
    examples = spine_of_file(fs._context, spine, features, [timestamp_column])
    if explain:
        explanation = store.explain_point_in_time(examples, features, **options)
        return invocation.answer(asdict(explanation), explanation)
    rows = store.get_point_in_time(examples, features, **options)
    return _show_or_write(invocation, fs, store, rows, limit, output, format)


def aggregate(
    invocation: Invocation,
    feature: Reference,
    function: Annotated[
        str, typer.Argument(metavar="FUNCTION", help="sum, avg, count, min, max, stddev or approx_percentile.")
    ],
    start: Start,
    end: End,
    every: Annotated[str, typer.Option("--every", help="hour, day, week or month.")] = "day",
    entity: Annotated[list[str] | None, ANY_ENTITY] = None,
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="The buckets follow the calendar of this zone.")
    ] = "UTC",
    by_entity: Annotated[bool, typer.Option("--by-entity", help="One row per bucket and entity.")] = False,
    percentile: Annotated[float, typer.Option("--percentile", help="For approx_percentile: from 0 to 1.")] = 0.5,
    limit: Limit = 1000,
) -> None:
    """Show a feature's values, aggregated by hour, day, week or month of a time zone's calendar."""
    fs, store = _open(invocation)
    buckets = store.aggregate_feature(
        feature,
        function,
        every=every,
        start=start,
        end=end,
        entities=_entities(fs, feature, entity),
        time_zone=time_zone,
        by_entity=by_entity,
        percentile=percentile,
    )
    keys = _group(fs, feature).join_keys if by_entity else []
    _show(invocation, buckets.orderBy(*keys, "bucket_start"), limit)


def search(
    invocation: Invocation,
    feature: Reference,
    vector: Annotated[str | None, typer.Option("--vector", help="The query vector, as JSON: [0.1, 0.2].")] = None,
    entity: Annotated[
        list[str] | None, entity_option("Search with an entity's own vector: a join key as KEY=VALUE.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_ROWS, help="Maximum number of matches.")] = 10,
    threshold: Annotated[float, typer.Option("--threshold", help="Minimum cosine similarity.")] = 0.7,
    at: Annotated[str | None, instant("--at", "Vectors as valid at this moment; now by default.")] = None,
    filter: Annotated[
        list[str] | None, typer.Option("--filter", help="COLUMN=VALUE, a column of the same group.")
    ] = None,
    model_version: Annotated[str | None, typer.Option("--model-version", help="Only vectors of this model.")] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every vector instead of searching the index.")
    ] = False,
) -> None:
    """Show the entities whose embeddings are most similar to a vector, or to an entity's own."""
    if (vector is None) == (not entity):
        raise typer.BadParameter("give either --vector or --entity", param_hint="--vector/--entity")
    fs, store = _open(invocation)
    group = _group(fs, feature)
    types: dict[str, str] = dict(group.entity.join_keys) | {member.name: member.type for member in group.features}
    filters = {name: typed(value, types.get(name, "string")) for name, value in pairs(filter or [], "--filter").items()}
    query = entity_of(group.entity, entity or []) if vector is None else typed(vector, "json")
    matches = store.search_similar_embeddings(
        feature,
        query,
        limit=limit,
        threshold=threshold,
        at=at,
        filters=filters or None,
        model_version=model_version,
        exact=exact or None,
    )
    document = {"feature": feature, "model_version": matches.model_version, "at": matches.at, "exact": matches.exact}
    document |= {"source": matches.source, "synced_at": matches.synced_at, "table_version": matches.table_version}
    invocation.answer(document | {"matches": [asdict(match) for match in matches]}, matches)


def stats(invocation: Invocation) -> None:
    """Show the tenant's rows, entities, times, files and bytes in each feature group."""
    _, store = _open(invocation)
    groups = store.get_stats()
    invocation.answer([asdict(group) for group in groups], groups)


def entity_timestamps(
    invocation: Invocation,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A declared source, such as orders.")],
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The entity that the rows describe.")],
    timestamp_column: Annotated[
        str, typer.Option("--timestamp-column", help="The source's timestamp column.")
    ] = "event_timestamp",
    on: Annotated[
        list[str] | None,
        typer.Option("--on", help="KEY=COLUMN, a join key and its column of the source where the names differ."),
    ] = None,
    start: Annotated[str | None, instant("--start", "First instant.")] = None,
    end: Annotated[str | None, instant("--end", "First instant after the range.")] = None,
    limit: Limit = 20,
    output: Output = None,
    format: Format = "parquet",
) -> None:
    """Show, or write to files, the distinct (entity, timestamp) pairs of a source: a spine."""
    if (start is None) != (end is None):
        raise typer.BadParameter("give both or neither", param_hint="--start/--end")
    fs, store = _open(invocation)
    _check_output(invocation, fs, output, format)
    from featurestore.data_loader import FeatureDataLoader

    examples = FeatureDataLoader(store).get_entity_timestamps(
        source,
        entity,
        None if start is None else (start, end),
        timestamp_column=timestamp_column,
        on=pairs(on or [], "--on"),
    )
    _show_or_write(invocation, fs, store, examples, limit, output, format)


def _open(invocation: Invocation) -> tuple[FeatureStore, OfflineStore]:
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    return feature_store, feature_store.tenant(tenant)


def _group(fs: FeatureStore, reference: str) -> FeatureGroup:
    return fs.feature_group(parse_reference(reference)[0])


def _entities(fs: FeatureStore, reference: str, entity: list[str] | None) -> dict[str, Any] | None:
    return entity_of(_group(fs, reference).entity, entity) if entity else None


def _show(invocation: Invocation, frame: DataFrame | pa.Table, limit: int) -> None:
    rows, names = plain_rows(frame, limit)
    invocation.answer(rows, rows_of(rows, names))


def _check_output(invocation: Invocation, fs: FeatureStore, output: str | None, format: ExportFormat) -> None:
    """Tell that something else is at the place, before Spark starts."""
    if output is not None:
        from featurestore.operations.repeats.exports import check_place

        check_place(fs._context, invocation.required_tenant(), output, format)


def _show_or_write(
    invocation: Invocation,
    fs: FeatureStore,
    store: OfflineStore,
    frame: DataFrame | pa.Table,
    limit: int,
    output: str | None,
    format: ExportFormat,
) -> None:
    if output is None:
        return _show(invocation, frame, limit)
    from featurestore.data_loader import FeatureDataLoader

    with invocation.working(f"Writing {output}"):
        path = FeatureDataLoader(store).export(frame, output, format)
    return invocation.answer({"path": path, "format": format}, Text(f"Written to {path}"))
