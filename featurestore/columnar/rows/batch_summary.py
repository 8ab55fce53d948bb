"""What a write says about a checked batch: counts, reasons, samples of rejected rows, and the batch's fingerprint.

A checked batch has the group's columns, ``__faults`` (each row's reasons as text; empty for a good row), ``__row`` (the
original row as text if there is a reason), and ``__suppressed`` if the rows of erased entities are marked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.ranks import one_array, ranks
from featurestore.columnar.rows.fingerprint import content_fingerprint, xxhash64
from featurestore.columnar.rows.names import FAULTS, REASON, ROW, SUPPRESSED

# Rows shown for each reason.
SAMPLES = 3


@dataclass(frozen=True)
class BatchSummary:
    """Numbers of rows: all, ``invalid`` (with a reason, not of erased entities), ``erased`` (of erased entities).

    ``errors``: reason -> rows, most frequent first, equally frequent ones by their text; the rows of erased entities
    come last. ``fingerprint`` does not depend on erasures, so that a retry after an erasure is recognised as a retry.
    """

    rows: int
    invalid: int
    erased: int
    errors: dict[str, int]
    fingerprint: str

    @property
    def failed(self) -> int:
        return self.invalid + self.erased

    @property
    def written(self) -> int:
        return self.rows - self.failed


def summary(checked: pa.Table) -> BatchSummary:
    """Summarise a checked batch. Raises TypeError for a column whose type cannot be hashed."""
    remaining = without_suppressed(checked)
    content = [name for name in checked.column_names if name != SUPPRESSED]
    erased = checked.num_rows - remaining.num_rows
    errors = reason_counts(remaining)
    if erased:
        errors[REASON] = erased
    invalid = int(np.count_nonzero(has_faults(remaining)))
    return BatchSummary(checked.num_rows, invalid, erased, errors, content_fingerprint(checked, content))


def reason_counts(checked: pa.Table) -> dict[str, int]:
    """Reason -> rows, most frequent first, equally frequent ones by their text."""
    counts = Counter(one_array(checked.column(FAULTS)).flatten().to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def samples(checked: pa.Table) -> dict[str, list[str]]:
    """Reason -> the texts of up to three rows, reasons in the order of their UTF-8 bytes.

    Rows are chosen by the hash of their text, so that every run chooses the same ones. Rows of erased entities are
    not shown.
    """
    bad = without_suppressed(checked)
    bad = bad.filter(pa.array(has_faults(bad))).select([FAULTS, ROW]).combine_chunks()
    if not bad.num_rows:
        return {}
    faults, texts = one_array(bad.column(FAULTS)), one_array(bad.column(ROW))
    reasons = faults.flatten().dictionary_encode()
    parents = pc.list_parent_indices(faults).to_numpy()
    by_hash = np.lexsort((ranks(texts), xxhash64([texts])))
    rank = np.empty(len(texts), np.int64)
    rank[by_hash] = np.arange(len(texts))
    codes = reasons.indices.to_numpy()
    order = np.lexsort((rank[parents], codes))
    firsts = np.searchsorted(codes[order], np.arange(len(reasons.dictionary)))
    chosen = {}
    for code in pc.sort_indices(reasons.dictionary).to_pylist():
        rows = [row for row in order[firsts[code] : firsts[code] + SAMPLES] if codes[row] == code]
        chosen[reasons.dictionary[code].as_py()] = texts.take(pa.array(parents[rows])).to_pylist()
    return chosen


def has_faults(checked: pa.Table) -> NDArray[np.bool_]:
    """For each row, whether it has a reason not to be stored."""
    lengths = one_array(checked.column(FAULTS)).value_lengths()
    found: NDArray[np.bool_] = as_numpy(lengths.fill_null(0)) > 0
    return found


def without_suppressed(rows: pa.Table) -> pa.Table:
    """The rows of all other entities, without the column ``__suppressed`` (absent if no entity was erased)."""
    if SUPPRESSED not in rows.column_names:
        return rows
    return rows.filter(pc.invert(rows.column(SUPPRESSED))).drop_columns([SUPPRESSED])
