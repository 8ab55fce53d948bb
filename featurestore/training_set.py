"""The object for a saved training set: its rows as Spark, pandas, NumPy and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from featurestore.arguments import checked_arguments
from featurestore.columnar.text.csv_lines import CsvOptions
from featurestore.display.description import Display, Mark
from featurestore.display.displayed import Displayed
from featurestore.feature_store import FeatureStore
from featurestore.frames.training_sets.encodings import Encoding
from featurestore.late_spark import DataFrame
from featurestore.offline_store import OfflineStore
from featurestore.operations.context import Context, Scope
from featurestore.operations.exports.export import export
from featurestore.operations.exports.export_rows import ExportFormat, rows_of_set
from featurestore.operations.mlflow_runs.find_set import found_manifest, recorded_set
from featurestore.operations.mlflow_runs.record_set import active_run_id, record_set
from featurestore.operations.repeats.exports import ExportedFolder
from featurestore.operations.saved_sets.batches import DEFAULT_BATCH_ROWS, TrainingBatches, training_batches
from featurestore.operations.saved_sets.load import (
    DEFAULT_MAX_BYTES,
    TrainingFrame,
    TrainingMatrix,
    load_frame,
    load_matrix,
    measure,
)
from featurestore.operations.saved_sets.saved_rows import SavedRows, check_part, is_inside, saved_rows
from featurestore.operations.saved_sets.saved_set import SavedSet
from featurestore.stores.training_sets.manifests import Manifest


@checked_arguments
@dataclass(frozen=True)
class TrainingSet(SavedSet, Displayed):
    """One published version of a training set.

    ``is_up_to_date``: a build returned this version because it would only have made it again; nothing was built.
    """

    context: Context = field(repr=False)
    manifest: Manifest
    is_up_to_date: bool = field(default=False, compare=False)

    def display(self) -> Display:
        """The manifest's display: the set's content, and what it was built from."""
        shown = self.manifest.display()
        if not self.is_up_to_date:
            return shown
        return replace(
            shown, lines=(Mark(f"Version {self.version} is up to date; nothing was built.", "good"), *shown.lines)
        )

    def __repr__(self) -> str:
        return f"TrainingSet({self.name!r}, version={self.version}, rows={self.manifest.row_count})"

    def part(self, split: str | None) -> DataFrame:
        """The rows of one part (train, validation, test), or of all; raises NotFoundError for a missing part."""
        check_part(self.manifest, split)
        return self.rows if split is None else self.rows.where(is_inside(split))

    def metadata(self, split: str | None = None) -> dict[str, Any]:
        """Metadata of the saved rows, which are those after sampling.

        ``total_samples``, ``feature_count``, ``time_range`` (earliest and latest timestamp, UTC; None without rows),
        ``missing_values`` (feature -> number of rows in which it is null).
        """
        return measure(self._saved(split)).metadata

    def to_batches(
        self, split: str | None = None, *, columns: Sequence[str] | None = None, batch_rows: int = DEFAULT_BATCH_ROWS
    ) -> TrainingBatches:
        """The rows, or those of one part, in pieces to iterate, without Spark; a few row groups are in memory.

        ``columns``: by default those that ``to_pandas`` loads. Each iteration reads each row once, in batches of 1 to
        ``batch_rows`` rows, in the order in which they were written, which is the same each time for this version.
        Types are Arrow's: instants are UTC, embeddings are lists. Raises InvalidArgumentError for an unknown column,
        and if only Spark reaches the set's files: then ``export`` it and read those.
        """
        return training_batches(self._saved(split), columns, batch_rows)

    def to_pandas(
        self,
        split: str | None = None,
        *,
        expand_vectors: bool | None = None,
        max_bytes: int | None = DEFAULT_MAX_BYTES,
    ) -> TrainingFrame:
        """Load the rows, or one part of them, into this process's memory.

        A vector is one column of arrays of equal length, or with ``expand_vectors`` one column per number (None: as
        requested when the set was built). docs/encodings.md has every type. Raises ResultTooLargeError, before anything
        is loaded, if the result would take more than ``max_bytes`` (None: no limit; by default 2 GiB).
        """
        expand = self.manifest.expand_vectors if expand_vectors is None else expand_vectors
        return load_frame(self._saved(split), expand, max_bytes)

    def to_numpy(
        self,
        split: str | None = None,
        *,
        encoding: Encoding | None = None,
        max_bytes: int | None = DEFAULT_MAX_BYTES,
    ) -> TrainingMatrix:
        """Load the features as one float64 matrix, which ``encoding.decode`` turns back into the frame.

        To fit the encoding on one part and apply it to another, call ``to_numpy("test", encoding=train.encoding)``.
        Values that the encoding does not know are NaN and counted in ``unseen``. Raises ResultTooLargeError like
        ``to_pandas``, and InvalidArgumentError for values that a float64 cannot hold exactly.
        """
        return load_matrix(self._saved(split), encoding, max_bytes)

    def _saved(self, split: str | None) -> SavedRows:
        return saved_rows(self.context, self.manifest, split)

    def export(
        self, path: str, format: ExportFormat = "parquet", *, null: str = "", guard_formulas: bool = True
    ) -> ExportedFolder:
        """Write all rows and the manifest to a new folder, visible only when complete; return its full path.

        If this very export is there already, complete, nothing is written, and the result ``is_up_to_date``.

        ``format`` is ``"parquet"``, ``"csv"``, ``"jsonl"`` or ``"arrow"``; ``null`` and ``guard_formulas`` are options
        of CSV (docs/exports.md). Raises ExportError, and InvariantError if the files do not hold the set's rows.
        """
        manifest = self.manifest
        scope = Scope(self.context, manifest.tenant_id)
        return export(
            scope,
            rows_of_set(scope, manifest, path),
            path,
            format,
            csv=CsvOptions(null, guard_formulas),
            training_set=manifest,
        )

    def log_to_mlflow(self, *, report: bool = True) -> None:
        """Record this version in the active run of MLflow, so that ``from_mlflow`` finds it by the run's id.

        The run gets an input, a dataset with the set's name, columns, features, ``known_at`` and split, and a digest of
        its content hash and place; the tag ``featurestore.<tenant>.<name>.v<version>`` with the content hash; and under
        ``training_sets/<name>_v<version>/`` the manifest, and with ``report`` the HTML report. No row and no credential
        is sent. Safe to repeat. Raises InvalidArgumentError without an active run, NotFoundError if the version was
        deleted since, ConfigurationError if MLflow is not installed, and TrackingError; then the run has no input.
        """
        run_id = active_run_id(self)
        record_set(self, run_id, self._report() if report else None)

    def _report(self) -> str:
        from featurestore.reports.training_set_numbers import TrainingSetNumbers
        from featurestore.reports.training_set_report import training_set_html

        return training_set_html(self.manifest, TrainingSetNumbers.of(self))

    @classmethod
    def from_mlflow(
        cls,
        run_id: str,
        *,
        name: str | None = None,
        version: int | None = None,
        store: FeatureStore | OfflineStore | None = None,
    ) -> TrainingSet:
        """The version that a run of MLflow recorded; its content hash is still the recorded one.

        ``name`` and ``version`` choose among several sets of the run. ``store``: where the set is; None opens
        ``FeatureStore.open()``. The tenant is the recorded one. Raises NotFoundError for an unknown run, one without a
        training set, or a set that the store does not have; InvalidArgumentError if several sets fit, or ``store`` is
        another tenant's; TrackingError if MLflow does not answer, or the set's content is not the recorded one.
        """
        record = recorded_set(run_id, name, version)
        opened = FeatureStore.open() if store is None else store
        scope = (opened.tenant(record.tenant) if isinstance(opened, FeatureStore) else opened)._scope
        return cls(scope.context, found_manifest(scope, run_id, record))
