"""The files of a source that a reader needs, for the columns that it wants: decided without reading a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.as_of.value_files import Bounds, Partition
from featurestore.errors import SchemaError, nearest
from featurestore.late_spark import DataFrame, SparkSession, from_arrow_schema
from featurestore.stores.delta.pruning import with_keys
from featurestore.stores.outside.casts import cast_column, moment_bounds, plain_type, scalar_of_text, why_no_cast
from featurestore.stores.outside.listing import ListedFile, Listing, python_bound
from featurestore.stores.outside.rows import FileRows, OutsideFile, WantedColumn, WantedRows, compare_alike
from featurestore.stores.value_files.faults import value_file_errors
from featurestore.stores.value_files.task_join import by_value

# By the reader's name of a column, the least and the greatest value that is wanted.
Ranges = Mapping[str, tuple[Any, Any]]
# Files are spread over at most so many tasks.
_MOST_TASKS = 1_000
# Before any instant that a value may have.
_ALWAYS = -(2**62)


@dataclass(frozen=True)
class Reader:
    """Who reads which source: for messages, and how the source is limited to one tenant."""

    name: str
    place: str
    tenant_column: str | None
    tenant_id: str
    zone: str | None
    schema: pa.Schema
    folders: frozenset[str]


@dataclass(frozen=True)
class Wish:
    """The columns that a reader wants of a source, before they are checked."""

    reader: Reader
    columns: Mapping[str, WantedColumn]

    def problems(self) -> list[str]:
        """What is wrong with each column, in words."""
        found = [self._problem(name, column) for name, column in self.columns.items()]
        return list(dict.fromkeys(problem for problem in (*found, self._tenant_problem()) if problem is not None))

    def checked(self, required: Sequence[str], keys: Sequence[str]) -> WantedRows:
        """What is wanted of each file; raises SchemaError with all problems."""
        if problems := self.problems():
            raise SchemaError(f"{self.reader.name}: {self.reader.place}: {'; '.join(problems)}")
        column = self.reader.tenant_column
        return WantedRows(
            columns=self.columns,
            stored=self.reader.schema,
            required=tuple(dict.fromkeys(self.columns[name].source for name in required)),
            tenant=None if column is None else (column, self.reader.tenant_id),
            keys=tuple(keys),
            zone=self.reader.zone,
        )

    def _problem(self, name: str, column: WantedColumn) -> str | None:
        return next(filter(None, (self._problem_of(name, source, column) for source in column.sources)), None)

    def _problem_of(self, name: str, source: str, column: WantedColumn) -> str | None:
        known = self.reader.schema
        if known.names.count(source) != 1:
            return self._not_there(source)
        if source in self.reader.folders or column.type is None:
            return None
        why = why_no_cast(known.field(source).type, column.type, self.reader.zone)
        named = f"column {source!r}" + (f" (for {name!r})" if name != source else "")
        return None if why is None else f"{named}: {why}; cast it in the table, or mend the definition"

    def _tenant_problem(self) -> str | None:
        name = self.reader.tenant_column
        if name is None:
            return None
        if self.reader.schema.names.count(name) != 1:
            return f"tenant_column: {self._not_there(name)}"
        kind = self.reader.schema.field(name).type
        if kind == pa.string() or pa.types.is_integer(kind):
            return None
        return f"tenant_column {name!r} is {kind}; it must be a text or a whole number"

    def _not_there(self, name: str) -> str:
        names = self.reader.schema.names
        if name in names:
            return f"column {name!r} comes twice; rename one of them"
        return f"there is no column {name!r}. {nearest(name, names)}"


@dataclass(frozen=True)
class ChosenFiles:
    """The files that may hold wanted rows. ``all_files`` and ``all_bytes``: of the source, whatever is wanted."""

    name: str
    place: str
    files: tuple[OutsideFile, ...]
    wanted: WantedRows
    ranges: Ranges
    all_files: int
    all_bytes: int
    # By file the bounds of its columns of times, in microseconds.
    times: tuple[Mapping[str, tuple[int | None, int | None]], ...]

    @classmethod
    def of(cls, name: str, listing: Listing, wanted: WantedRows, ranges: Ranges) -> ChosenFiles:
        """Leave out files of other tenants, and those whose bounds lie outside ``ranges``."""
        own = [each for each in listing.files if _is_of_tenant(each, wanted) and _is_complete(each, wanted)]
        described = [_Described.of(name, each, listing, wanted) for each in own]
        kept = [each for each in described if each.overlaps(ranges)]
        return cls(
            name=name,
            place=listing.pin.place,
            files=tuple(each.file for each in kept),
            wanted=wanted,
            ranges=ranges,
            all_files=len(own),
            all_bytes=sum(file.bytes for file in own),
            times=tuple(each.times for each in kept),
        )

    @property
    def rows(self) -> int:
        """At most so many rows are wanted."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def read(self, keys: pa.Table | None = None) -> pa.Table:
        """The wanted rows, one file at a time; see ``OutsideTable.read``."""
        parts = list(self.parts(keys))
        return pa.concat_tables(parts) if parts else self.wanted.schema.empty_table()

    def parts(self, keys: pa.Table | None = None) -> Iterator[pa.Table]:
        """The same, one table for each file."""
        bounds = {name: (python_bound(low), python_bound(high)) for name, (low, high) in self.ranges.items()}
        condition = _condition(self.ranges, keys, self.wanted)
        with value_file_errors(self.place):
            for file in self.files:
                rows = file.read(list(self.wanted.columns), bounds)
                rows = rows if condition is None else rows.filter(condition)
                yield rows if keys is None else with_keys(rows, keys)

    def partitions(self, event: str, created: str) -> list[Partition]:
        """The files by spans of event timestamps that are provably apart, in the order of time."""
        spans: list[tuple[int, int, list[OutsideFile]]] = []
        known = [(*_ends(times[event]), _with_created(file, times[created])) for file, times in self._with_times()]
        for low, high, file in sorted(known, key=lambda each: each[:2]):
            if spans and low <= spans[-1][1]:
                first, last, files = spans[-1]
                spans[-1] = (first, max(last, high), [*files, file])
            else:
                spans.append((low, high, [file]))
        return [Partition(low, tuple(files)) for low, _, files in spans]

    def _with_times(self) -> list[tuple[OutsideFile, Mapping[str, tuple[int | None, int | None]]]]:
        return list(zip(self.files, self.times, strict=True))

    def frame(self, spark: SparkSession) -> DataFrame:
        """The wanted rows of all files, which tasks read; lazy."""
        schema = from_arrow_schema(self.wanted.schema, prefer_timestamp_ntz=True)
        if not self.files:
            return spark.createDataFrame([], schema)
        rows = FileRows(self.files, tuple(self.wanted.columns))
        numbers = spark.range(0, len(self.files), 1, min(len(self.files), _MOST_TASKS))
        return numbers.mapInArrow(by_value(rows.read), schema)


@dataclass(frozen=True)
class _Described:
    """A file with the bounds of the columns that are wanted."""

    file: OutsideFile
    bounds: Mapping[str, Bounds]
    times: Mapping[str, tuple[int | None, int | None]]

    @classmethod
    def of(cls, name: str, listed: ListedFile, listing: Listing, wanted: WantedRows) -> _Described:
        given = {
            (output, source): _given(name, listed, source, column, wanted)
            for output, column in wanted.columns.items()
            for source in column.sources
            if source in listed.constants
        }
        bounds = {output: _bounds(listed, output, wanted, given) for output in wanted.columns}
        times = {output: _times(listed, output, wanted, given) for output in wanted.columns}
        file = OutsideFile(
            path=listed.path,
            place=listed.place,
            wanted=wanted,
            rows=listed.rows,
            bytes=listed.bytes,
            bounds=tuple(bounds[key] for key in wanted.keys),
            constants=frozenset(listed.constants),
            given=given,
            state=listed.state,
            system=listing.system,
        )
        return cls(file, bounds, times)

    def overlaps(self, ranges: Ranges) -> bool:
        return all(
            _overlap(self.times[name] if self.times[name] != (None, None) else self.bounds[name], wanted)
            for name, wanted in ranges.items()
        )


def _given(name: str, listed: ListedFile, source: str, column: WantedColumn, wanted: WantedRows) -> pa.Scalar:
    value, stored = listed.constants[source], wanted.stored.field(source).type
    kind = column.type or stored
    if not listed.folders:
        return cast_column(pa.array([value], stored), kind, wanted.zone, up=column.rounded_up)[0]
    try:
        return scalar_of_text(value, kind, wanted.zone, up=column.rounded_up)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{name}: {listed.path}: the folder {source}={value} holds no {kind} ({error}); rename the folder, "
            "or mend the definition"
        ) from error


Given = Mapping[tuple[str, str], pa.Scalar]


def _bounds(listed: ListedFile, output: str, wanted: WantedRows, given: Given) -> Bounds:
    column = wanted.columns[output]
    if len(column.sources) > 1:
        return None, None
    if (output, column.source) in given:
        bound = python_bound(given[output, column.source].as_py())
        return bound, bound
    stored, kind = wanted.stored.field(column.source).type, plain_type(wanted.type_of(output))
    return listed.facts.bounds(column.source, kind) if compare_alike(stored, kind) else (None, None)


def _times(listed: ListedFile, output: str, wanted: WantedRows, given: Given) -> tuple[int | None, int | None]:
    """The bounds of a column of instants; of all columns from which it may take values."""
    if not pa.types.is_timestamp(wanted.type_of(output)):
        return None, None
    every = [_times_of(listed, output, source, wanted, given) for source in wanted.columns[output].sources]
    lows, highs = [low for low, _ in every if low is not None], [high for _, high in every if high is not None]
    return min(lows) if len(lows) == len(every) else None, max(highs) if len(highs) == len(every) else None


def _times_of(
    listed: ListedFile, output: str, source: str, wanted: WantedRows, given: Given
) -> tuple[int | None, int | None]:
    if (output, source) in given:
        bound = python_bound(given[output, source].as_py())
        return (bound, bound) if isinstance(bound, int) else (None, None)
    stored = wanted.stored.field(source).type
    return moment_bounds(listed.facts.bounds(source, stored), stored)


def _overlap(own: tuple[Any, Any], wanted: tuple[Any, Any]) -> bool:
    first, last = python_bound(wanted[0]), python_bound(wanted[1])
    low, high = own
    if low is not None and last is not None and type(low) is type(last) and low > last:  # type: ignore[operator]
        return False
    return not (high is not None and first is not None and type(high) is type(first) and high < first)  # type: ignore[operator]


def _is_of_tenant(listed: ListedFile, wanted: WantedRows) -> bool:
    if wanted.tenant is None:
        return True
    name, tenant_id = wanted.tenant
    if name in listed.constants:
        value = listed.constants[name]
        return value is not None and str(value) == tenant_id
    stored = wanted.stored.field(name).type
    if stored != pa.string():
        return True
    return _overlap(listed.facts.bounds(name, stored), (tenant_id, tenant_id))


def _is_complete(listed: ListedFile, wanted: WantedRows) -> bool:
    """Whether no column that is required is null in all rows, by what is known unread."""
    return not any(name in listed.constants and listed.constants[name] is None for name in wanted.required)


def _ends(times: tuple[int | None, int | None]) -> tuple[int, int]:
    low, high = times
    return _ALWAYS if low is None else low, 2**63 - 1 if high is None else high


def _with_created(file: OutsideFile, created: tuple[int | None, int | None]) -> OutsideFile:
    return replace(file, created=created)


def _condition(ranges: Ranges, keys: pa.Table | None, wanted: WantedRows) -> pc.Expression | None:
    tests = []
    for name, (low, high) in ranges.items():
        kind = wanted.type_of(name)
        if low is not None:
            tests.append(pc.field(name) >= pa.scalar(low, kind))
        if high is not None:
            tests.append(pc.field(name) <= pa.scalar(high, kind))
    if keys is not None:
        for name, values in zip(keys.column_names, keys.columns, strict=True):
            tests.append(pc.field(name).isin(values.combine_chunks().cast(wanted.type_of(name))))
    whole = tests[0] if tests else None
    for test in tests[1:]:
        whole = whole & test
    return whole
