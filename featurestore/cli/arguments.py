"""Parse entities, values and instants from the command line, and show rows as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from featurestore.definitions.values.time_window import in_utc, to_instant
from featurestore.display.description import Display, table_of
from featurestore.late_spark import DataFrame
from featurestore.operations.instants import MOST_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

    from featurestore.definitions.entity import Entity


def pairs(texts: Iterable[str], option: str = "--entity") -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping; a usage error for anything else."""
    values: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or key in values:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE, each key once", param_hint=option)
        values[key] = value
    return values


def checked_pairs(texts: list[str] | None) -> list[str] | None:
    """The same texts, once they are known to be pairs; the check needs no Spark."""
    pairs(texts or [])
    return texts


def checked_instant(text: str | None) -> str | None:
    """The same text, once it is known to be an instant; the settings may give the zone of one without an offset."""
    if text is not None:
        try:
            to_instant(text, "UTC")
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return text


def checked_known_at(text: str | None) -> str | None:
    return text if text == "event" else checked_instant(text)


def instant(name: str, help: str) -> Any:
    """An option that takes an instant."""
    return typer.Option(name, help=help, callback=checked_instant)


def entity_option(help: str) -> Any:
    """An option that takes an entity's join keys, one pair per key."""
    return typer.Option("--entity", help=help, callback=checked_pairs)


def report_option(help: str) -> Any:
    """An option that takes the file of a report."""
    return typer.Option("--report", help=help, dir_okay=False)


Reference = Annotated[str, typer.Argument(metavar="GROUP:FEATURE", help="The feature.")]
References = Annotated[list[str], typer.Argument(metavar="GROUP:FEATURE", help="The features.")]
EntityPairs = Annotated[list[str], entity_option("A join key as KEY=VALUE; once for each key.")]
ANY_ENTITY = entity_option("Only this entity: a join key as KEY=VALUE, once for each key.")
Start = Annotated[str, instant("--start", "First instant: 2026-11-01T00:00:00Z.")]
End = Annotated[str, instant("--end", "First instant after the window.")]
KnownAt = Annotated[
    str | None, typer.Option("--known-at", help="As known at an instant, or 'event'.", callback=checked_known_at)
]
Spine = Annotated[str, typer.Option("--spine", help="A Parquet file or folder of examples.")]
TimestampColumn = Annotated[str, typer.Option("--timestamp-column", help="The spine's timestamp column.")]
SampleSize = Annotated[
    int | None, typer.Option("--sample-size", min=1, help="Number of rows to sample; all by default.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the sample and the split.")]
Split = Annotated[str | None, typer.Option("--split", help="time, random or entity.")]
ValidationShare = Annotated[float | None, typer.Option("--validation", help="Share of the validation part.")]
TestShare = Annotated[float | None, typer.Option("--test", help="Share of the test part.")]
Output = Annotated[str | None, typer.Option("--output", help="Write the rows to this new folder instead.")]
ExportFormat: TypeAlias = Literal["parquet", "csv", "jsonl", "arrow"]
Format = Annotated[ExportFormat, typer.Option("--format", help="The files' format.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST_ROWS, help="Maximum number of rows to show.")]


def entity_of(entity: Entity, texts: Iterable[str]) -> dict[str, Any]:
    """An entity's keys with their types; the operation itself refuses a text that has no value of its type."""
    return {key: typed(value, entity.join_keys.get(key, "string")) for key, value in pairs(texts).items()}


def typed(text: str, kind: str) -> Any:
    """A text as a value of a key's or a feature's type; the text itself if it is no such value."""
    if kind in ("string", "date", "timestamp"):
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def plain_rows(frame: DataFrame | pa.Table, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Up to ``limit`` rows with instants in UTC, and the names of the columns."""
    table = frame.limit(limit).toArrow() if isinstance(frame, DataFrame) else frame.slice(0, limit)
    rows = [{name: in_utc(value) for name, value in row.items()} for row in table.to_pylist()]
    return rows, list(table.column_names)


def rows_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Display:
    """The rows as a table to display; without rows, it displays ``No rows``."""
    return Display(tables=(table_of(rows, columns),))
