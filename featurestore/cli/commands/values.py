"""Commands that write values: ingest, write, rejected list, rejected retry."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Literal

import typer
from rich.text import Text

from featurestore.cli.arguments import (
    EntityPairs,
    Limit,
    Reference,
    entity_of,
    instant,
    plain_rows,
    rows_of,
    typed,
)
from featurestore.cli.invocation import Invocation
from featurestore.definitions.names import parse_reference
from featurestore.display.description import Display, text_of

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="The feature group.")]


def ingest(
    invocation: Invocation,
    group: GroupName,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A CSV, JSON lines or Parquet file, or a folder of them.")
    ],
    batch_id: Annotated[
        str | None, typer.Option("--batch-id", help="A batch id is written once, however often it is retried.")
    ] = None,
    on_invalid: Annotated[
        Literal["quarantine", "fail"],
        typer.Option("--on-invalid", help="Keep invalid rows with their reasons, or write nothing if there is one."),
    ] = "quarantine",
    format: Annotated[
        Literal["csv", "jsonl", "parquet"] | None,
        typer.Option("--format", help="The file's format, if its name does not show it."),
    ] = None,
) -> None:
    """Write a file's rows to a feature group; invalid rows are kept apart, with their reasons."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    store = feature_store.tenant(tenant)
    with invocation.working(f"Writing {file} to {group}"):
        result = store.ingest(group, file, format=format, batch_id=batch_id, on_invalid=on_invalid)
    # Rows stay out of a scheduler's log; `rejected list` shows them.
    parts: list[Display | Text] = [replace(result, samples={}).display().about(group)]
    if result.failed:
        parts.append(Text(f"The rejected rows: store.rejected({group!r}, batch_id={result.batch_id!r})"))
    invocation.answer({"group": group, "tenant": tenant, **asdict(result)}, *parts)


def write(
    invocation: Invocation,
    feature: Reference,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="The value; an embedding or array as JSON: [0.1, 0.2].")
    ],
    entity: EntityPairs,
    at: Annotated[str, instant("--at", "Event timestamp: when the value became true.")],
    model_version: Annotated[
        str | None, typer.Option("--model-version", help="For an embedding: the model that made it.")
    ] = None,
) -> None:
    """Write one value of one entity; use ingest for more than a few."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    group_name, name = parse_reference(feature)
    group = feature_store.feature_group(group_name)
    defined, store = group.feature(name), feature_store.tenant(tenant)
    key, typed_value = entity_of(group.entity, entity), typed(value, defined.type)
    if defined.feature_type.is_embedding:
        result = store.write_embedding(feature, key, typed_value, at, model_version=model_version)
    else:
        result = store.write_feature_value(feature, key, typed_value, at)
    summary = Text(f"{feature} of {text_of(key)} written (table version {result.table_version})")
    invocation.answer({"feature": feature, "tenant": tenant, **asdict(result)}, summary)


def list_rejected(
    invocation: Invocation,
    group: GroupName,
    batch_id: Annotated[str | None, typer.Option("--batch-id", help="Only rows of this batch.")] = None,
    limit: Limit = 20,
) -> None:
    """Show rejected rows with their reasons."""
    tenant = invocation.required_tenant()
    rejected = invocation.open().tenant(tenant).rejected(group, batch_id=batch_id, to="arrow")
    in_order = [(name, "ascending") for name in ("rejected_at", "batch_id", "row")]
    rows, _ = plain_rows(rejected.sort_by(in_order), limit)
    invocation.answer(rows, rows_of(rows, ["rejected_at", "batch_id", "reasons", "row"]))


def retry_rejected(
    invocation: Invocation,
    group: GroupName,
    batch_id: Annotated[str | None, typer.Option("--batch-id", help="Only rows of this batch.")] = None,
) -> None:
    """Write the rejected rows that the current rules allow; each row once."""
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    with invocation.working(f"Writing rejected rows of {group} again"):
        result = feature_store.tenant(tenant).retry_rejected(group, batch_id=batch_id)
    invocation.answer(
        {"group": group, "tenant": tenant, **asdict(result)}, replace(result, samples={}).display().about(group)
    )
