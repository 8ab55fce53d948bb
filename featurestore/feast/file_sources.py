"""Sources of files: Parquet and Delta, on this machine's disk or on an object store, read without Spark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from feast import FileSource
from feast.data_format import DeltaFormat, ParquetFormat

from featurestore.columnar.values.latest_order import CREATED, EVENT
from featurestore.errors import InvalidArgumentError, StorageError
from featurestore.feast.source_table import ZONE, Columns, Values
from featurestore.stores.outside.chosen import ChosenFiles, Ranges, Reader, Wish
from featurestore.stores.outside.delta_folder import list_delta
from featurestore.stores.outside.listing import Listing
from featurestore.stores.outside.parquet_folder import list_parquet
from featurestore.stores.outside.rows import WantedColumn
from featurestore.stores.places import Folder, library_uri

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Place:
    """Where files are, as Feast spells it. ``options``: what Arrow and delta-rs need to reach it; see ``Folder.of``."""

    path: str
    is_delta: bool
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, source: FileSource, repo_path: str) -> Place:
        """The place of a source; raises InvalidArgumentError for a format that is neither Parquet nor Delta."""
        given = source.file_format
        if given is not None and not isinstance(given, (DeltaFormat, ParquetFormat)):
            raise InvalidArgumentError(
                f"source {source.name!r}: its format is {type(given).__name__}; files are read as ParquetFormat or "
                "DeltaFormat"
            )
        path = FileSource.get_uri_for_file_path(repo_path, source.path)
        options = s3_options(source.s3_endpoint_override, source.resolve_credentials() or {})
        return cls(path, isinstance(given, DeltaFormat), options)

    @property
    def root(self) -> str:
        """The path as Arrow and delta-rs spell it."""
        if self.path.startswith("file:"):
            return "/" + self.path.removeprefix("file:").lstrip("/")
        return library_uri(self.path) if "://" in self.path else self.path

    @property
    def folder(self) -> Folder:
        """Raises OSError or ArrowInvalid if Arrow refuses it."""
        return Folder.of(self.root, self.options)

    def listing(self, name: str, bounded: Sequence[str] = ()) -> Listing:
        """What is there now; raises NotFoundError, SchemaError or StorageError."""
        if not self.is_delta:
            return _with_whole_numbers(list_parquet(name, self.root, self.path, options=self.options))
        found = list_delta(name, self.root, self.path, version=None, within={}, bounded=bounded, options=self.options)
        if isinstance(found, str):
            raise StorageError(f"{name}: {found}; declare it as a SparkSource of Feast's, which Spark reads")
        return found


def _with_whole_numbers(listing: Listing) -> Listing:
    """What the names of folders hold is whole numbers if all of it is, as in Feast's own stores; else texts."""
    schema = listing.schema
    for name in listing.folders:
        texts = {file.constants[name] for file in listing.files} - {None}
        if texts and all(map(_WHOLE_NUMBER.fullmatch, texts)):
            schema = schema.set(schema.get_field_index(name), pa.field(name, pa.int64()))
    return replace(listing, schema=schema)


def s3_options(endpoint: str | None, credentials: Mapping[str, str] | None = None) -> dict[str, str]:
    """Options of a place on an object store; what they do not name is found in the environment."""
    options = dict(credentials or {})
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
        if endpoint.startswith("http:"):
            options["AWS_ALLOW_HTTP"] = "true"
    return options


@dataclass(frozen=True)
class FileTable:
    """The rows of a source of files; see ``SourceTable``."""

    name: str
    place: Place

    @property
    def schema(self) -> pa.Schema:
        return self.place.listing(self.name).schema

    def values(self, columns: Columns, *, required: Sequence[str], asked: pa.Table) -> Values:
        files = self._files(columns, required=required, keys=asked.column_names)
        types = {name: files.wanted.type_of(name) for name in columns}
        return Values(files.partitions(EVENT, CREATED), types, files.place)

    def read(self, columns: Columns, *, required: Sequence[str], ranges: Ranges) -> pa.Table:
        return self._files(columns, required=required, ranges=ranges).read()

    def _files(
        self, columns: Columns, *, required: Sequence[str], keys: Sequence[str] = (), ranges: Ranges | None = None
    ) -> ChosenFiles:
        bounded = [name for column in columns.values() for name in column.sources]
        listing = self.place.listing(self.name, bounded)
        reader = Reader(self.name, self.place.path, None, "", ZONE, listing.schema, listing.folders)
        typed = {name: _typed(column, listing) for name, column in columns.items()}
        return ChosenFiles.of(self.name, listing, Wish(reader, typed).checked(required, keys), ranges or {})


def _typed(column: WantedColumn, listing: Listing) -> WantedColumn:
    """With the type of the listing, in which a name of a folder is read."""
    if column.type is not None or column.source not in listing.folders:
        return column
    return replace(column, type=listing.schema.field(column.source).type)
