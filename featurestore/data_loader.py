"""``FeatureDataLoader``: build, save, list and rebuild training sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

from featurestore.arguments import ByContent, checked_arguments
from featurestore.columnar.text.csv_lines import CsvOptions
from featurestore.definitions.entity import Entity
from featurestore.definitions.finding import Findings
from featurestore.definitions.source import Source
from featurestore.definitions.training_set import Missing, Seed, Split
from featurestore.display.displayed import Listing
from featurestore.frames.text.chat import FormatFunction
from featurestore.late_spark import DataFrame
from featurestore.offline_store import OfflineStore
from featurestore.operations.auditing.audit import audit_training_set
from featurestore.operations.entities import Entities
from featurestore.operations.exports.export import Data, export_data
from featurestore.operations.exports.export_rows import ExportFormat
from featurestore.operations.fine_tuning.fine_tuning import FineTuningSet, load_for_fine_tuning
from featurestore.operations.reading.request import Features, Spine
from featurestore.operations.repeats.exports import ExportedFolder
from featurestore.operations.saved_sets.diff import TrainingSetDiff, diff
from featurestore.operations.training_sets.build import Built, build_training_set
from featurestore.operations.training_sets.declared import build_declared
from featurestore.operations.training_sets.delete import delete_training_set
from featurestore.operations.training_sets.entity_timestamps import TimeRange, examples, get_entity_timestamps
from featurestore.operations.training_sets.extend import extend_training_set
from featurestore.operations.training_sets.rebuild import rebuild_training_set
from featurestore.operations.training_sets.request import (
    FineTuningRequest,
    OnInvalid,
    TrainingSetRequest,
    plan_training_set,
)
from featurestore.stores.training_sets.manifests import Manifest
from featurestore.training_set import TrainingSet


@checked_arguments
class FeatureDataLoader:
    """Training sets of one tenant: ``FeatureDataLoader(store)``."""

    def __init__(self, store: OfflineStore) -> None:
        self._scope = store._scope

    def load_training_data(
        self,
        spine: Spine | None = None,
        features: Features = (),
        *,
        label: str | None = None,
        name: str = "adhoc",
        entities: Entities | None = None,
        time_range: TimeRange | None = None,
        timestamp_column: str = "event_timestamp",
        known_at: Any = None,
        full_feature_names: bool = False,
        label_offset: timedelta | str | None = None,
        sample_size: int | None = None,
        stratify_by: str | Sequence[str] | None = None,
        seed: Seed = 0,
        split: Split | None = None,
        missing: Missing = "keep",
        expand_vectors: bool = False,
        strict: bool = False,
        description: str = "",
        new_version: bool = False,
    ) -> TrainingSet:
        """Join features to a spine as of each row's time and save the result as a new version of ``name``.

        If the newest version was built from the same request, spine, definitions and data by the same version of this
        package, it is up to date: it is returned, with ``is_up_to_date``, and nothing is built. ``new_version`` builds
        another all the same.

        - ``spine``: the examples. Without a spine, the examples are the moments in ``time_range`` at which the label's
          feature was written for ``entities`` (or all); if the label is not a feature, the moments at which any feature
          was written.
        - ``time_range``: ``(start, end)``, the end exclusive; it also restricts the rows of a spine.
        - ``label``: a column of the spine, or ``"group:feature"``, joined as of ``label_offset`` after the row's time.
          It is never among the features.
        - ``sample_size`` rows are chosen by a hash of ``seed`` and the row; ``stratify_by`` keeps the share of each
          value of these spine columns to within one row.
        - ``split`` (TimeSplit, RandomSplit, EntitySplit) adds the column ``split``.
        - ``missing``: ``"keep"``; ``"drop"`` leaves out rows that lack a feature; a value fills every gap, and a
          mapping fills by feature.
        - ``expand_vectors``: how ``to_pandas`` shows vectors. ``strict``: nothing is published if the audit finds
          anything above the severity ``info``.

        Raises SpineError, NotFoundError, InvalidArgumentError, LeakageError, InvariantError.
        """
        request = TrainingSetRequest(
            name=name,
            features=features,
            label=label,
            label_offset=label_offset,
            timestamp_column=timestamp_column,
            known_at=known_at,
            full_feature_names=full_feature_names,
            sample_size=sample_size,
            stratify_by=stratify_by,
            seed=seed,
            split=split,
            missing=missing,
            expand_vectors=expand_vectors,
            strict=strict,
            description=description,
        )
        plan = plan_training_set(self._scope.context, request, new_version=new_version)
        rows = examples(self._scope, spine, plan, entities=entities, time_range=time_range)
        return self._built(build_training_set(self._scope, rows, plan))

    def get_entity_timestamps(
        self,
        source: str | Source,
        entity: str | Entity,
        time_range: TimeRange | None = None,
        *,
        timestamp_column: str = "event_timestamp",
        on: Mapping[str, str] | None = None,
    ) -> DataFrame:
        """The distinct (join keys, ``event_timestamp``) of a declared source's rows: a spine.

        An example is conversations by conversation id or by user id. ``on``: join key -> column of the source, where
        the names differ; ``time_range``: ``(start, end)``, the end exclusive. Rows without a key or a timestamp are
        left out. Raises NotFoundError, SpineError, InvalidArgumentError.
        """
        return get_entity_timestamps(
            self._scope, source, entity, time_range=time_range, timestamp_column=timestamp_column, on=on or {}
        )

    def build(self, name: str, *, strict: bool = False, new_version: bool = False) -> TrainingSet:
        """Build a new version of a training set that was applied as a definition.

        A newest version that is up to date is returned instead, unless ``new_version``; see ``load_training_data``.
        With ``strict``, here or in the definition, an audit that finds a fault raises LeakageError, and nothing is
        published.
        """
        definition = self._scope.context.refresh().training_set(name)
        if strict:
            definition = definition.model_copy(update={"strict": True})
        return self._built(build_declared(self._scope, definition, new_version=new_version))

    def rebuild(self, name: str, version: int | None = None, *, spine: Spine | None = None) -> TrainingSet:
        """Build a saved version again from its manifest, as a new version.

        Raises RebuildError, and publishes nothing, unless the content is the same.
        """
        manifest = self.get(name, version).manifest
        return self._loaded(rebuild_training_set(self._scope, manifest, spine))

    def extend(self, name: str, spine: Spine, *, version: int | None = None) -> TrainingSet:
        """Add new spine rows to a saved version (the newest by default), as a new version.

        Only the new rows are computed; the saved rows keep their values. If a feature's type was widened since, the new
        version has the wider type. Raises SpineError unless ``spine`` has the columns of the version's own spine, with
        their types.
        """
        manifest = self.get(name, version).manifest
        return self._loaded(extend_training_set(self._scope, manifest, spine))

    def get(self, name: str, version: int | None = None) -> TrainingSet:
        """A saved version, the newest by default; raises NotFoundError."""
        return self._loaded(self._scope.training_sets.get(self._scope.tenant_id, name, version))

    def list(self, name: str | None = None) -> Listing[Manifest]:
        """Manifests of the saved versions, by name and version."""
        return self._scope.training_sets.list(self._scope.tenant_id, name)

    def audit(self, name: str, version: int | None = None) -> Findings:
        """Audit a saved version (the newest by default) for leaks again, with the tables that it was built from.

        ``manifest.audit`` holds the findings at build time. Errors come first; docs/leakage_audit.md explains each
        check.
        """
        manifest = self.get(name, version).manifest
        return Findings(audit_training_set(self._scope, manifest))

    def diff(self, name: str, version_a: int, version_b: int) -> TrainingSetDiff:
        """The differences of ``version_b`` from ``version_a``: rows, features, distributions. Prints as text."""
        return diff(self._scope.context, self.get(name, version_a).manifest, self.get(name, version_b).manifest)

    def delete(self, name: str, version: int | None = None, *, all_versions: bool = False) -> tuple[int, ...]:
        """Delete a saved version, or all; returns the deleted versions.

        ``version`` is optional if there is only one. Safe to repeat; the number of a deleted version is never used
        again. Raises NotFoundError, InvalidArgumentError.
        """
        return delete_training_set(self._scope, name, version, all_versions=all_versions)

    def load_for_fine_tuning(
        self,
        spine: Spine,
        input_features: Features,
        output_feature: str,
        *,
        path: str,
        system: str | None = None,
        template: str | None = None,
        format_fn: FormatFunction | None = None,
        name: str = "fine_tuning",
        output_offset: timedelta | str | None = None,
        timestamp_column: str = "event_timestamp",
        known_at: Any = None,
        full_feature_names: bool = False,
        sample_size: int | None = None,
        stratify_by: str | Sequence[str] | None = None,
        seed: Seed = 0,
        split: Split | None = None,
        shards: int | None = None,
        on_invalid: Annotated[OnInvalid, ByContent] = "fail",
    ) -> FineTuningSet:
        """Write examples as chat messages, one JSON object per line, to a new folder of JSONL files.

        Inputs are joined as of each row's time; the output is a feature, joined then or ``output_offset`` later, or a
        column of the spine. The user's message comes from ``template`` (Jinja2, sandboxed), from ``format_fn`` (a row
        as a dict -> the message, or all messages), or has one line per input. Rows without an output are left out and
        counted; a row that gives no messages fails the call, or is counted (``on_invalid="skip"``). ``shards``: the
        maximum number of files per part. docs/fine_tuning.md has the details. Raises TransformationError,
        InvalidArgumentError, ExportError, SpineError, NotFoundError.
        """
        request = FineTuningRequest(
            name=name,
            features=input_features,
            label=output_feature,
            label_offset=output_offset,
            timestamp_column=timestamp_column,
            known_at=known_at,
            full_feature_names=full_feature_names,
            sample_size=sample_size,
            stratify_by=stratify_by,
            seed=seed,
            split=split,
            path=path,
            system=system,
            template=template,
            format_fn=format_fn,
            shards=shards,
            on_invalid=on_invalid,
        )
        return load_for_fine_tuning(self._scope, spine, request)

    def export(
        self,
        data: Data,
        path: str,
        format: Annotated[ExportFormat, ByContent] = "parquet",
        *,
        null: str = "",
        guard_formulas: bool = True,
    ) -> ExportedFolder:
        """Write a training set, a fine-tuning set, the result of a read, or a Spark or Arrow frame to a new folder.

        If this very export is there already, complete, nothing is written, and the result ``is_up_to_date``. See
        ``operations.exports.export``.
        """
        return export_data(self._scope, data, path, format, CsvOptions(null, guard_formulas))

    def export_to_csv(self, data: Data, path: str, *, null: str = "", guard_formulas: bool = True) -> ExportedFolder:
        """Write the same data as CSV files (RFC 4180), each with a header.

        ``null`` is the text of a missing value, never quoted; an empty text is ``""``. With ``guard_formulas``, an
        apostrophe precedes a text that a spreadsheet would run. Raises ExportError, InvalidArgumentError.
        """
        return export_data(self._scope, data, path, "csv", CsvOptions(null, guard_formulas))

    def _built(self, built: Built) -> TrainingSet:
        return TrainingSet(self._scope.context, built.manifest, is_up_to_date=not built.is_new)

    def _loaded(self, manifest: Manifest) -> TrainingSet:
        return TrainingSet(self._scope.context, manifest)
