"""A user's own table as one tenant sees it: its columns, its state, and the tenant's rows, by files or by Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from featurestore.columnar.as_of.value_files import Partition
from featurestore.config import Settings
from featurestore.definitions.names import check_tenant_id
from featurestore.definitions.source import Source
from featurestore.errors import StorageError
from featurestore.late_spark import DataFrame
from featurestore.stores.files.named import NamedFiles
from featurestore.stores.layout import local_folder
from featurestore.stores.outside.by_spark import SparkSource
from featurestore.stores.outside.chosen import ChosenFiles, Ranges, Reader, Wish
from featurestore.stores.outside.delta_folder import list_delta
from featurestore.stores.outside.listing import Listing
from featurestore.stores.outside.parquet_folder import list_parquet
from featurestore.stores.outside.pins import SourcePin
from featurestore.stores.outside.rows import WantedColumn, WantedRows
from featurestore.stores.places import library_uri
from featurestore.stores.sources import source_path
from featurestore.stores.value_files.reach import why_unreachable

Columns = Mapping[str, WantedColumn]


@dataclass(frozen=True)
class OutsideTable:
    """A source of one tenant, which others write. Each object sees one state: that of its first look, or a pinned one.

    Rows are read by their files where this process and Spark's tasks reach them, else by Spark: ``obstacle`` says why.
    A reader names the columns that it wants, with the types; a row of another tenant, or with null in a column that is
    ``required``, is left out. All errors name the source; each method raises NotFoundError if nothing is there,
    SchemaError for columns that are missing or of a type that may lose values, and StorageError for files that cannot
    be read, or are no longer what they were when they were listed or pinned.
    """

    name: str
    source: Source
    tenant_id: str
    settings: Settings = field(repr=False)
    named: Callable[[], NamedFiles] = field(repr=False, compare=False)
    # Why only Spark reads files here; None if this process also does.
    only_spark: str | None = None
    pinned: SourcePin | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        name: str,
        source: Source,
        tenant_id: str,
        *,
        named: Callable[[], NamedFiles],
        only_spark: str | None = None,
        pinned: SourcePin | None = None,
    ) -> OutsideTable:
        """``name``: whose source it is, for messages; ``named``: the files that Spark reads, which starts Spark."""
        return cls(name, source, check_tenant_id(tenant_id), settings, named, only_spark, pinned)

    def __str__(self) -> str:
        return f"source {self.name!r}"

    @property
    def place(self) -> str:
        """Its path with the placeholders filled in, or its name in the catalog."""
        return self.source.table or source_path(self.source, self.tenant_id, self.settings)

    @property
    def obstacle(self) -> str | None:
        """Why only Spark reads the rows; None if this process also does."""
        found = self._listing
        return found if isinstance(found, str) else None

    @property
    def schema(self) -> pa.Schema:
        """The columns of the source in plain types; those that are names of folders are texts."""
        found = self._listing
        return self._by_spark.schema if isinstance(found, str) else found.schema

    @property
    def folders(self) -> frozenset[str]:
        """The columns that are names of folders, and are read as whatever type a reader wants."""
        found = self._listing
        return frozenset() if isinstance(found, str) else found.folders

    @property
    def pin(self) -> SourcePin:
        """The state that this object reads."""
        found = self._listing
        return self._by_spark.pin if isinstance(found, str) else found.pin

    def problems(self, columns: Columns) -> list[str]:
        """Each wanted column that the source does not have, or has in a type that may lose values; in words."""
        return Wish(self._reader, columns).problems()

    def check(self, columns: Columns) -> None:
        """Raise SchemaError, with all ``problems``, if there are any."""
        self._wanted(columns)

    def files(
        self, columns: Columns, *, required: Sequence[str] = (), keys: Sequence[str] = (), ranges: Ranges | None = None
    ) -> ChosenFiles:
        """The files that may hold wanted rows, unread. There must be no ``obstacle``.

        ``required`` and ``keys``: names among ``columns``; the texts of ``keys`` are read as dictionaries, as the as-of
        kernel takes them. ``ranges``: by name the least and the greatest value that is wanted; None for no bound.
        """
        wanted = self._wanted(columns, required, keys)
        return ChosenFiles.of(str(self), self._bounded(wanted), wanted, ranges or {})

    def partitions(
        self, columns: Columns, *, keys: Sequence[str], event: str, created: str, ranges: Ranges | None = None
    ) -> list[Partition]:
        """The same files for the as-of kernel; rows without a key or an event timestamp are left out.

        Files are one partition, or as many as their event timestamps are provably apart.
        """
        files = self.files(columns, required=(*keys, event), keys=keys, ranges=ranges)
        return files.partitions(event, created)

    def read(
        self,
        columns: Columns,
        *,
        required: Sequence[str] = (),
        ranges: Ranges | None = None,
        keys: pa.Table | None = None,
    ) -> pa.Table:
        """The wanted rows, in the order of files. There must be no ``obstacle``.

        ``ranges``: the rows have values within them, both ends included, and none is null; ``keys``: their values of
        these columns are together those of a row of this table.
        """
        wanted = self._wanted(columns, required)
        return ChosenFiles.of(str(self), self._bounded(wanted), wanted, ranges or {}).read(keys)

    def frame(self, columns: Columns, *, required: Sequence[str] = (), ranges: Ranges | None = None) -> DataFrame:
        """The wanted rows by Spark, lazy: its tasks read the files, or Spark itself if there is an ``obstacle``.

        ``ranges``: leave out files without values within them; the rows of others are all there.
        """
        wanted = self._wanted(columns, required)
        if self.obstacle is not None:
            return self._by_spark.frame(wanted)
        return ChosenFiles.of(str(self), self._bounded(wanted), wanted, ranges or {}).frame(self.named().spark)

    def _wanted(self, columns: Columns, required: Sequence[str] = (), keys: Sequence[str] = ()) -> WantedRows:
        return Wish(self._reader, columns).checked(required, keys)

    @property
    def _reader(self) -> Reader:
        return Reader(str(self), self.place, self.source.tenant_column, self.tenant_id, self.settings.timestamp_zone,
                      self.schema, self.folders)  # fmt: skip

    @cached_property
    def _listing(self) -> Listing | str:
        """The state, or why only Spark reads it."""
        if self.source.table is not None:
            return f"{self.place} is a table of a catalog"
        if self.source.format not in ("delta", "parquet"):
            return f"only Spark reads {self.source.format}"
        if self.source.options:
            return f"the source has options of Spark's: {', '.join(sorted(self.source.options))}"
        if self.only_spark is not None:
            return self.only_spark
        if "://" in self._root and (why := why_unreachable(self.place)) is not None:
            return why
        return self._list(())

    @cached_property
    def _root(self) -> str:
        local = local_folder(self.place)
        return library_uri(self.place) if local is None else str(Path(local).absolute())

    def _list(self, bounded: Sequence[str], version: int | None = None) -> Listing | str:
        if self.source.format == "parquet":
            return list_parquet(str(self), self._root, self.place, self.pinned)
        column = self.source.tenant_column
        within = {} if column is None else {column: self.tenant_id}
        version = version if self.pinned is None else self.pinned.version
        found = list_delta(str(self), self._root, self.place, version=version, within=within, bounded=bounded)
        if self.pinned is not None and not isinstance(found, str) and found.pin != self.pinned:
            raise StorageError(f"{self}: {self.pinned} cannot be read again: {self.pinned.changes_to(found.pin)}")
        return found

    def _bounded(self, wanted: WantedRows) -> Listing:
        """The listing with the bounds of the columns that are wanted; a folder of Parquet has them in its footers."""
        found = self._listing
        if isinstance(found, str):
            raise StorageError(f"{self}: only Spark reads it: {found}")
        if self.source.format == "parquet":
            return found
        columns = {source for column in wanted.columns.values() for source in column.sources}
        again = self._list([*columns, *([wanted.tenant[0]] if wanted.tenant else [])], found.pin.version)
        assert isinstance(again, Listing)
        return again

    @cached_property
    def _by_spark(self) -> SparkSource:
        return SparkSource(self.named(), self.name, self.source, self.tenant_id, self.settings, self.pinned)
