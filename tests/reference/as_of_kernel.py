"""What the as-of kernel answers on a case, and where that differs from the naive reference."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pyarrow as pa

import featurestore.columnar.as_of.join
from featurestore.columnar.rows.fingerprint import xxhash64
from tests.inputs.as_of_cases import Case
from tests.reference.as_of import Row, as_of_join

ROOM = featurestore.columnar.as_of.__name__


@dataclass(frozen=True)
class Limits:
    """The kernel's limits: as in production, or so small that tiny tables exceed them.

    ``few_rows`` of a block, ``most_rows`` of a chunk, the ``bits`` that a packed long has, ``piece``: bytes of texts,
    ``small_rows`` of a row group that is read in one call.
    """

    few_rows: int
    most_rows: int
    bits: int = 63
    piece: int = 1 << 30
    small_rows: int = 0

    @property
    def constants(self) -> dict[tuple[str, str], int]:
        """By module and name."""
        return {
            ("blocks", "_FEW_ROWS"): self.few_rows,
            ("blocks", "_MOST_ROWS"): self.most_rows,
            ("value_rows", "_BITS"): self.bits,
            ("outputs", "_PIECE"): self.piece,
            ("gathered", "_MOST_BYTES"): self.piece,
            ("segments", "_SMALL_ROWS"): self.small_rows,
        }


LIMITS = [Limits(100_000, 4_000_000), Limits(40, 60, bits=40, piece=64), Limits(1, 5), Limits(40, 60, small_rows=1_024)]


@dataclass(frozen=True)
class Kernel:
    """The modules of the kernel, by name without the package."""

    modules: Mapping[str, ModuleType]

    @classmethod
    def imported(cls) -> Kernel:
        room = f"{ROOM}."
        return cls({name.removeprefix(room): each for name, each in sys.modules.items() if name.startswith(room)})

    def limit(self, limits: Limits) -> None:
        """Change the limits of these modules, for as long as they live."""
        for (module, name), value in limits.constants.items():
            setattr(self.modules[module], name, value)

    def answers(self, case: Case, threads: int) -> list[Row]:
        keys = [case.spine_table.column(name) for name in case.rules.keys]
        spine = self.modules["spine_keys"].SpineRows.of(keys, case.spine_table.column("at"))
        later = spine.later(case.offset // case.offset.resolution)
        join = self.modules["join"].as_of_join
        taken = join(later, case.partitions, case.rules, case.types, with_event=True, threads=threads)
        assert {name: column.type for name, column in taken.features.items()} == case.types
        columns = {name: column.to_pylist() for name, column in taken.features.items()}
        columns["event"] = taken.event.to_pylist()
        return [{name: values[row] for name, values in columns.items()} for row in range(len(case.spine))]


def expected_answers(case: Case) -> list[Row]:
    """By the reference."""
    later = [row | {"at": None if row["at"] is None else row["at"] + case.offset} for row in case.spine]
    names = (*case.rules.features, "event")
    found = as_of_join(later, case.values, case.lookup, _ordered)
    return [{name: _plain(row[name]) for name in names} for row in found]


def difference(expected: list[Row], answers: list[Row]) -> str | None:
    """The first row and column that differ, in words; None if none does."""
    if len(expected) != len(answers):
        return f"{len(expected)} rows expected, {len(answers)} found"
    for number, (wanted, row) in enumerate(zip(expected, answers, strict=True)):
        for name, value in row.items():
            if _plain(value) != wanted[name]:
                return f"row {number}, {name}: {wanted[name]!r} expected, {value!r} found"
    return None


def _ordered(value: Any) -> Any:
    """What the product compares where all times tie: NaN is greatest, texts by their bytes, lists by their hash."""
    if isinstance(value, list):
        kind = pa.list_(pa.float32() if isinstance(value[:1] and value[0], float) else pa.string())
        elements = [] if kind.value_type == pa.float32() else [(each is not None, each or "") for each in value]
        return int(xxhash64([pa.array([value], kind)])[0]), elements
    if isinstance(value, float):
        return (1, 0.0) if value != value else (0, value)
    return value.encode() if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """A value by which two are compared: NaN equals NaN."""
    if isinstance(value, list):
        return tuple(_plain(each) for each in value)
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return "NaN" if value != value else value
