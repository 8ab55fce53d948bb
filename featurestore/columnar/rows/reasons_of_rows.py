"""The reasons of all rows, collected one after the other, as one column of lists of texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.columnar.rows.names import FAULTS
from featurestore.kinds.arrow_columns.reading import Mask, is_present, numpy_of, true_of

_Rows = npt.NDArray[np.int64]


class Reasons:
    """Reasons in the order in which they were added; the same reason counts once on a row."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._codes: dict[str, int] = {}
        self._found: list[tuple[_Rows, _Rows]] = []

    def add(self, broken: Mask, reason: str) -> None:
        """The same reason for every row of the mask."""
        rows = np.flatnonzero(broken)
        if rows.size:
            self._found.append((rows, np.full(rows.size, self._code(reason))))

    def add_texts(self, rows: _Rows, texts: pa.Array) -> None:
        """A reason for each of the rows."""
        if not rows.size:
            return
        encoded = texts.dictionary_encode()
        codes = np.array([self._code(text) for text in encoded.dictionary.to_pylist()], np.int64)
        self._found.append((rows, codes[numpy_of(encoded.indices)]))

    def _code(self, reason: str) -> int:
        return self._codes.setdefault(reason, len(self._codes))

    def is_faulty(self) -> Mask:
        mask = np.zeros(self._rows, np.bool_)
        for rows, _ in self._found:
            mask[rows] = True
        return mask

    def column(self) -> pa.Array:
        """Each row's reasons; an empty list for a good row."""
        if not self._found:
            return pa.array(np.zeros(0, object), pa.list_(pa.string())) if not self._rows else _empty(self._rows)
        rows, codes = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        order = np.argsort(rows, kind="stable")
        rows, codes = rows[order], codes[order]
        _, first = np.unique(rows * len(self._codes) + codes, return_index=True)
        kept = np.sort(first)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=self._rows))])
        texts = pa.array(list(self._codes), pa.string()).take(pa.array(codes[kept]))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts)


def _empty(rows: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1), pa.int32()), pa.array([], pa.string()))


class EarlierFaults:
    """The faults that a step before this one found in the rows (``arrow_faults``)."""

    def __init__(self, rows: pa.Table) -> None:
        faults = rows.column(FAULTS).combine_chunks() if FAULTS in rows.column_names else None
        self._count = rows.num_rows
        if faults is None or not len(faults.flatten()):
            self.rows, self.columns, self.texts = np.zeros(0, np.int64), None, None
            return
        lengths = numpy_of(pc.list_value_length(faults)).astype(np.int64)
        self.rows = np.repeat(np.arange(len(faults)), lengths)
        self.columns, reasons = faults.flatten().flatten()
        named = pc.binary_join_element_wise(self.columns, reasons, ": ")
        self.texts = pc.if_else(self.columns.is_null(), reasons, named)

    def add_to(self, reasons: Reasons) -> None:
        if self.texts is not None:
            reasons.add_texts(self.rows, self.texts)

    def of_column(self, name: str) -> Mask:
        """The rows whose value of the column could not be read."""
        mask = np.zeros(self._count, np.bool_)
        if self.columns is not None:
            mask[self.rows[true_of(pc.equal(self.columns, name))]] = True
        return mask


def add_unreadable(reasons: Reasons, name: str, faults: pa.Array) -> None:
    """Why values of the column could not be read; null for those that could."""
    if faults.null_count == len(faults):
        return
    rows = np.flatnonzero(is_present(faults))
    reasons.add_texts(rows, pc.binary_join_element_wise(name, faults.drop_null(), ": "))
