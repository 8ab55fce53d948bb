"""Read a saved training set in pieces, for models that learn from more rows than memory holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.training_sets.splits import SPLIT
from featurestore.errors import InvalidArgumentError, nearest
from featurestore.operations.instants import argument_count
from featurestore.operations.saved_sets.saved_rows import LocalSavedRows, SavedRows
from featurestore.stores.training_sets.local_rows import RowFiles
from featurestore.stores.training_sets.manifests import Manifest

DEFAULT_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class TrainingBatches:
    """A training set's rows as Arrow record batches, of 1 to ``batch_rows`` rows each; each iteration is a new pass.

    Every pass gives each row once, in the same order. Processes that this one forks or spawns can iterate, too: the
    object is small, and holds the names of the files, not their rows.
    """

    schema: pa.Schema
    batch_rows: int
    _files: RowFiles = field(repr=False)
    _split: str | None = field(repr=False)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._files.batches(self.batch_rows):
            inside = batch if self._split is None else batch.filter(pc.equal(batch.column(SPLIT), self._split))
            if inside.num_rows:
                yield inside.select(self.schema.names)


def training_batches(saved: SavedRows, columns: Sequence[str] | None, batch_rows: int) -> TrainingBatches:
    """The rows with these columns; whatever is wrong with the arguments is found here."""
    batch_rows = argument_count("batch_rows", batch_rows)
    if not isinstance(saved, LocalSavedRows):
        raise InvalidArgumentError(
            f"{_title(saved.manifest)} cannot be read in batches: only Spark reads its files here, or its types; "
            "export() it, and read the exported Parquet files in pieces"
        )
    names = list(saved.words) if columns is None else _known(saved, columns)
    needed = names if saved.split is None else dict.fromkeys([*names, SPLIT])
    files = saved.row_files(list(needed))
    return TrainingBatches(pa.schema([files.schema.field(name) for name in names]), batch_rows, files, saved.split)


def _known(saved: SavedRows, columns: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(columns))
    if not names:
        raise InvalidArgumentError("columns is empty; name some, or leave it out for all that to_pandas() loads")
    for name in names:
        if name not in saved.all_words:
            known = nearest(name, saved.all_words)
            raise InvalidArgumentError(f"{_title(saved.manifest)} has no column {name!r}. {known}")
    return names


def _title(manifest: Manifest) -> str:
    return f"training set {manifest.name!r} v{manifest.version}"
