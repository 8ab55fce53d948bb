"""Commands for training sets and fine-tuning sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from featurestore.cli.arguments import (
    Format,
    KnownAt,
    References,
    SampleSize,
    Seed,
    Spine,
    Split,
    TestShare,
    TimestampColumn,
    ValidationShare,
    instant,
    report_option,
)
from featurestore.cli.invocation import Invocation

if TYPE_CHECKING:
    from featurestore.cli.rows_bar import RowsBar
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.feature_store import FeatureStore
    from featurestore.training_set import TrainingSet

SetName = Annotated[str, typer.Argument(metavar="NAME", help="The training set.")]
SpineFile = Annotated[str, typer.Option("--spine", help="Parquet: new rows with the columns of the saved spine.")]
Strict = Annotated[bool, typer.Option("--strict", help="Publish nothing if the audit finds a fault.")]
Version = Annotated[int | None, typer.Option("--version", help="Which version; the newest by default.")]
NewVersion = Annotated[
    bool, typer.Option("--new-version", help="Build another version even if the newest one is up to date.")
]


def build(invocation: Invocation, name: SetName, strict: Strict = False, new_version: NewVersion = False) -> None:
    """Build a new version of a training set that was applied as a definition, unless the newest one is up to date."""
    feature_store, loader = _opened(invocation)
    with invocation.counting(feature_store, f"Building {name}") as bar:
        training_set = loader.build(name, strict=strict, new_version=new_version)
    _answer(invocation, feature_store, bar, training_set)


def load(
    invocation: Invocation,
    name: SetName,
    features: References,
    spine: Annotated[str | None, typer.Option("--spine", help="A Parquet file or folder of examples.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="A column of the spine, or group:feature.")] = None,
    label_offset: Annotated[
        str | None, typer.Option("--label-offset", help="Look the label up this long after the row's time: 7d.")
    ] = None,
    start: Annotated[str | None, instant("--start", "First instant of the examples.")] = None,
    end: Annotated[str | None, instant("--end", "First instant after.")] = None,
    timestamp_column: TimestampColumn = "event_timestamp",
    known_at: KnownAt = None,
    sample_size: SampleSize = None,
    stratify_by: Annotated[
        list[str] | None, typer.Option("--stratify-by", help="Columns whose values keep their shares.")
    ] = None,
    seed: Seed = 0,
    split: Split = None,
    validation: ValidationShare = None,
    test: TestShare = None,
    missing: Annotated[
        Literal["keep", "drop"], typer.Option("--missing", help="What to do with rows that lack a feature.")
    ] = "keep",
    strict: Strict = False,
    new_version: NewVersion = False,
) -> None:
    """Join features to examples as of each one's time, and save the result as a new version of NAME.

    A newest version that is up to date is kept, and nothing is built.
    """
    if (start is None) != (end is None):
        raise typer.BadParameter("give both or neither", param_hint="--start/--end")
    tenant = invocation.required_tenant()
    parts = _split(split, validation, test)
    feature_store = invocation.open()
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.operations.reading.spine_file import spine_of_file

    with invocation.counting(feature_store, f"Building {name}") as bar:
        loader = FeatureDataLoader(feature_store.tenant(tenant))
        training_set = loader.load_training_data(
            None
            if spine is None
            else spine_of_file(feature_store._context, spine, features, [timestamp_column, label]),
            features,
            label=label,
            name=name,
            time_range=None if start is None else (start, end),
            timestamp_column=timestamp_column,
            known_at=known_at,
            label_offset=label_offset,
            sample_size=sample_size,
            stratify_by=stratify_by,
            seed=seed,
            split=parts,
            missing=missing,
            strict=strict,
            new_version=new_version,
        )
    _answer(invocation, feature_store, bar, training_set)


def _split(kind: str | None, validation: float | None, test: float | None) -> Any:
    if kind is None and validation is None and test is None:
        return None
    from featurestore.definitions.training_set import SPLITS

    if kind is not None and kind not in SPLITS:
        raise typer.BadParameter(f"{kind!r} is not among {', '.join(SPLITS)}", param_hint="--split")
    shares: dict[str, Any] = {"validation": validation, "test": test}
    return SPLITS[kind or "time"](**{name: share for name, share in shares.items() if share is not None})


def list_versions(invocation: Invocation) -> None:
    """List the saved versions of all training sets."""
    manifests = _loader(invocation).list()
    invocation.answer([manifest.model_dump(mode="json") for manifest in manifests], manifests)


def show(
    invocation: Invocation,
    name: SetName,
    version: Version = None,
    report: Annotated[Path | None, report_option("Write the report (HTML) to this file.")] = None,
) -> None:
    """Show a saved version's manifest: what it holds and what it was built from."""
    training_set = _loader(invocation).get(name, version)
    lines = []
    if report is not None:
        from featurestore.reports.training_set_report import training_set_report

        with invocation.working(f"Measuring {name} v{training_set.version}"):
            lines = [Text(f"Report: {training_set_report(training_set, report)}")]
    invocation.answer(training_set.manifest.model_dump(mode="json"), training_set, *lines)


def rebuild(invocation: Invocation, name: SetName, version: Version = None) -> None:
    """Build a saved version again from its manifest; fails unless the content is the same."""
    feature_store, loader = _opened(invocation)
    with invocation.counting(feature_store, f"Rebuilding {name}") as bar:
        training_set = loader.rebuild(name, version)
    _answer(invocation, feature_store, bar, training_set)


def extend(invocation: Invocation, name: SetName, spine: SpineFile, version: Version = None) -> None:
    """Add the spine rows of a Parquet file or folder to a saved version, as a new version.

    Only the new rows are computed.
    """
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.operations.reading.spine_file import spine_of_file

    with invocation.counting(feature_store, f"Extending {name}") as bar:
        loader = FeatureDataLoader(feature_store.tenant(tenant))
        loader.get(name, version)  # an unknown set is told before Spark reads a large spine
        rows = spine_of_file(feature_store._context, spine)
        training_set = loader.extend(name, rows, version=version)
    _answer(invocation, feature_store, bar, training_set)


def audit(invocation: Invocation, name: SetName, version: Version = None) -> None:
    """Audit a saved version for leaks, such as values from the future or labels among the features."""
    findings = _loader(invocation).audit(name, version)
    invocation.answer([finding.model_dump(mode="json") for finding in findings], findings)


def diff(
    invocation: Invocation,
    name: SetName,
    version_a: Annotated[int, typer.Argument(metavar="A", help="One version.")],
    version_b: Annotated[int, typer.Argument(metavar="B", help="The other.")],
) -> None:
    """Show the differences between two versions: rows, features, distributions."""
    differences = _loader(invocation).diff(name, version_a, version_b)
    invocation.answer(asdict(differences), differences)


def delete(
    invocation: Invocation,
    name: SetName,
    version: Annotated[int | None, typer.Option("--version", help="The version to delete.")] = None,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Every version.")] = False,
) -> None:
    """Delete saved versions with their rows; their version numbers are never used again."""
    deleted = _loader(invocation).delete(name, version, all_versions=all_versions)
    invocation.answer({"name": name, "deleted": list(deleted)}, Text(f"Deleted: {name} {shown_versions(deleted)}"))


def shown_versions(versions: Iterable[int]) -> str:
    return ", ".join(f"v{version}" for version in versions)


def export(
    invocation: Invocation,
    name: SetName,
    path: Annotated[str, typer.Argument(metavar="FOLDER", help="A new folder.")],
    version: Version = None,
    format: Format = "parquet",
) -> None:
    """Write a saved version's rows to files in a new folder, which appears only when it is complete.

    If the folder holds this very export already, complete, nothing is written.
    """
    feature_store, loader = _opened(invocation)
    training_set = loader.get(name, version)
    rows = training_set.manifest.row_count
    with invocation.counting(feature_store, f"Writing {path}") as bar:
        bar.rows(0, rows)
        written = training_set.export(path, format)
    if not written.is_up_to_date:
        invocation.summary(feature_store, bar, rows)
    document = {
        "name": name,
        "version": training_set.version,
        "path": written,
        "format": format,
        "is_up_to_date": written.is_up_to_date,
    }
    outcome = f"{name} v{training_set.version} written to {written}"
    if written.is_up_to_date:
        outcome = f"{name} v{training_set.version} is in {written} already, complete; nothing was written"
    invocation.answer(document, Text(outcome))


def fine_tuning(
    invocation: Invocation,
    features: References,
    spine: Spine,
    output_feature: Annotated[
        str, typer.Option("--output-feature", help="The expected answer: group:feature, or a column.")
    ],
    path: Annotated[str, typer.Option("--path", help="A new folder for the JSONL files.")],
    system: Annotated[str | None, typer.Option("--system", help="The system message, a template.")] = None,
    template: Annotated[str | None, typer.Option("--template", help="The user message, a Jinja2 template.")] = None,
    timestamp_column: TimestampColumn = "event_timestamp",
    known_at: KnownAt = None,
    sample_size: SampleSize = None,
    seed: Seed = 0,
    split: Split = None,
    validation: ValidationShare = None,
    test: TestShare = None,
) -> None:
    """Write examples as chat messages, one JSON object per line, for fine-tuning a language model."""
    tenant = invocation.required_tenant()
    parts = _split(split, validation, test)
    feature_store = invocation.open()
    from featurestore.data_loader import FeatureDataLoader
    from featurestore.operations.reading.spine_file import spine_of_file
    from featurestore.operations.repeats.fine_tuning import check_place

    check_place(feature_store._context, path)
    with invocation.counting(feature_store, f"Writing {path}") as bar:
        fine_tuning_set = FeatureDataLoader(feature_store.tenant(tenant)).load_for_fine_tuning(
            spine_of_file(feature_store._context, spine, features, [timestamp_column, output_feature]),
            features,
            output_feature,
            path=path,
            system=system,
            template=template,
            timestamp_column=timestamp_column,
            known_at=known_at,
            sample_size=sample_size,
            seed=seed,
            split=parts,
        )
    if not fine_tuning_set.is_up_to_date:
        invocation.summary(feature_store, bar, fine_tuning_set.row_count)
    fields = ("path", "row_count", "parts", "left_out", "missing_inputs")
    invocation.answer({name: getattr(fine_tuning_set, name) for name in fields}, fine_tuning_set)


def _opened(invocation: Invocation) -> tuple[FeatureStore, FeatureDataLoader]:
    tenant = invocation.required_tenant()
    feature_store = invocation.open()
    from featurestore.data_loader import FeatureDataLoader

    return feature_store, FeatureDataLoader(feature_store.tenant(tenant))


def _loader(invocation: Invocation) -> FeatureDataLoader:
    return _opened(invocation)[1]


def _answer(invocation: Invocation, feature_store: FeatureStore, bar: RowsBar, training_set: TrainingSet) -> None:
    """Print what a build took, the set, and the audit's findings, one per line, since a table would cut them."""
    manifest = training_set.manifest
    if not training_set.is_up_to_date:
        invocation.summary(feature_store, bar, manifest.row_count)
    findings = [Text(str(finding)) for finding in manifest.audit]
    document = manifest.model_dump(mode="json") | {"is_up_to_date": training_set.is_up_to_date}
    invocation.answer(document, training_set, *findings)
