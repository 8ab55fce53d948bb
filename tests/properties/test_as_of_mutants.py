"""Faults planted in the as-of kernel: the random cases must expose each of them, or they are too weak.

A mutated kernel is loaded beside the real one, and no file changes.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest

from tests.inputs.as_of_cases import Case, random_case
from tests.reference.as_of import Row
from tests.reference.as_of_kernel import LIMITS, ROOM, Kernel, difference, expected_answers
from tests.reference.mutants import Mutant, mutated

# So many cases, each with all limits, before a mutant counts as unseen.
CASES = 150


MUTANTS = [
    # The rules.
    Mutant("the oldest end of the TTL is left out", "chunk_rows",
           "event >= times - self.answers.rules.ttl", "event > times - self.answers.rules.ttl"),
    Mutant("the TTL is not applied to a value below nulls", "chunk_rows",
           "            rows, taken = rows[fresh], taken[fresh]\n", "            pass\n"),
    Mutant("a value of the spine row's own time is left out", "visible_rows",
           'np.searchsorted(own, asked, "right") - 1', 'np.searchsorted(own, asked, "left") - 1'),
    Mutant("a moment is searched on the wrong side where pairs are ranked", "visible_rows",
           'np.searchsorted(distinct, asked, "right") - 1', 'np.searchsorted(distinct, asked, "left") - 1'),
    Mutant("spine rows before all values take the first", "visible_rows",
           "(places < 0) | (times < self.earliest)", "places < 0"),
    Mutant("late spine rows are not brought to the latest moment", "visible_rows",
           "np.clip(times, self.earliest, self.latest)", "np.maximum(times, self.earliest)"),
    Mutant("a row of the key before is taken", "visible_rows",
           "missed |= self.codes[np.maximum(places, 0)] != codes", "pass"),
    Mutant("a valid row of the key before is taken", "visible_rows",
           "missed |= self.rows.codes[np.maximum(greatest, 0)] != codes", "pass"),
    Mutant("nulls are skipped under keep", "chunk_rows",
           'rules.nulls == "skip"', 'rules.nulls != "never"'),
    Mutant("nulls are kept under skip", "chunk_rows",
           'rules.nulls == "skip"', 'rules.nulls == "never"'),
    Mutant("the event timestamp of a row with only nulls is noted", "chunk_rows",
           "if len(nullable) < len(features):", "if True:"),
    Mutant("only the last row may be valid", "visible_rows",
           "np.maximum.accumulate(ranks)", "ranks"),
    Mutant("validity is by place in the files", "chunk_rows",
           "column.valid[self.visible.rows.rows]", "column.valid"),
    Mutant("validity is not in the order of the join", "visible_rows",
           "np.where(valid[ranks], ranks, -1)", "np.where(valid, ranks, -1)"),
    # known_at.
    Mutant("known_at leaves out what was created at that moment", "value_rows",
           "created <= rules.known_at", "created < rules.known_at"),
    Mutant("known_at leaves out files created at that moment", "blocks",
           "created <= rules.known_at", "created < rules.known_at"),
    Mutant("known_at does not read a file without bounds", "blocks",
           "created is None or created <= rules.known_at", "created is not None and created <= rules.known_at"),
    Mutant("known_at keeps all rows of files without bounds", "chunk_rows",
           "file.created[1] is None or file.created[1] > known_at",
           "file.created[1] is not None and file.created[1] > known_at"),
    Mutant("a row is visible once it is created, even before its event", "visible_rows",
           "np.maximum(rows.event, rows.created)", "rows.created"),
    Mutant("the row that was created last is taken", "visible_rows",
           "np.arange(len(self.codes)) if self.ranks is None else self.ranks", "np.arange(len(self.codes))"),
    Mutant("a spine row is too early for a value created at its time", "chunk_rows",
           "self.answers.spine.times[rows] < min(known", "self.answers.spine.times[rows] <= min(known"),
    Mutant("a spine row is too early for files without bounds", "chunk_rows",
           "early if len(known) == len(created) and early.any()", "early if early.any()"),
    # Ties.
    Mutant("created timestamps decide no ties", "value_rows",
           "    inner = np.lexsort((created, runs))", "    created = np.zeros(len(runs))\n    inner = np.arange(len(runs))"),
    Mutant("the first created wins a tie", "value_rows",
           "inner = np.lexsort((created, runs))", "inner = np.lexsort((-created, runs))"),
    Mutant("content is compared before created timestamps", "value_rows",
           "(*reversed(content), created, runs)", "(created, *reversed(content), runs)"),
    Mutant("features are compared in the wrong order", "value_rows",
           "(*reversed(content), created, runs)", "(*content, created, runs)"),
    Mutant("content is compared only if all ties need it", "value_rows",
           "if same.any() and", "if same.all() and"),
    Mutant("the first row of a tie stays where it is", "value_rows",
           "np.flatnonzero(follows | np.append(tied, False))", "np.flatnonzero(follows)"),
    # The order of rows.
    Mutant("rows are taken for sorted", "value_rows",
           "if not _is_sorted(rows):", "if False:"),
    Mutant("rows are taken for sorted if their keys are", "value_rows",
           "(same & (rows.event[1:] >= rows.event[:-1]))", "same"),
    Mutant("rows are sorted by moment first", "value_rows",
           "np.lexsort((moments, codes))", "np.lexsort((codes, moments))"),
    Mutant("moments are packed with one bit too few", "value_rows",
           "(codes << np.int64(bits))", "(codes << np.int64(bits - 1))"),
    Mutant("the created timestamps of other rows are read", "value_rows",
           "column.values[rows.segments.places(column, numbers)]",
           "column.values[np.arange(len(numbers))]"),
    # Keys.
    Mutant("unknown keys are taken for their neighbours", "spine_keys",
           "unknown = self.distinct[places] != numbers", "unknown = np.zeros(len(numbers), bool)"),
    Mutant("unknown keys have the first place in the table", "spine_keys",
           "np.full(last - first + 2, -1)", "np.zeros(last - first + 2, np.int64)"),
    Mutant("unknown pairs are taken for their neighbours", "spine_keys",
           "np.where(pairs[places] == wanted, places, -1)", "places"),
    Mutant("composite keys collide", "spine_keys",
           "-1, codes * count + more)", "-1, codes + more)"),
    Mutant("a null key is the first key", "spine_keys",
           "rank[-1] = -1", "rank[-1] = 0"),
    Mutant("a spine row without a time is of 1970", "spine_keys",
           "np.where(as_numpy(times.is_valid()), codes, -1)", "codes"),
    Mutant("texts are in the order in which they come", "spine_keys",
           "order = as_numpy(pc.sort_indices(values))", "order = np.arange(len(values))"),
    Mutant("the text at the upper bound is not in the range", "spine_keys",
           'bisect_left if side == "left" else bisect_right', "bisect_left"),
    Mutant("no bound is taken for a bound", "spine_keys",
           'return 0 if side == "left" else len(column)', "return 0"),
    Mutant("the value at the lower bound of a further column is not in the range", "spine_keys",
           'least = values.places([low for low, _ in column], "left")',
           'least = values.places([low for low, _ in column], "right")'),
    Mutant("a further column's upper bound cuts the first of several keys", "spine_keys",
           "(ends - 1) * len(values) + greatest", "starts * len(values) + greatest"),
    Mutant("the range of a composite key ends too early", "spine_keys",
           "(ends - 1) * len(values) + greatest", "(ends - 1) * len(values) + greatest - 1"),
    Mutant("a label is looked up before its time", "spine_keys",
           "self.times + offset", "self.times - offset"),
    Mutant("a run of keys ends only where the last column changes", "value_rows",
           "begins[1:] |= numbers", "begins[1:] = numbers"),
    Mutant("runs of keys are one row off", "value_rows",
           "np.diff(starts, append=table.num_rows)", "np.roll(np.diff(starts, append=table.num_rows), 1)"),
    # Blocks and chunks.
    Mutant("the first key of a chunk is lost", "value_rows",
           "codes >= within[0]", "codes > within[0]"),
    Mutant("the last key before a cut is lost", "value_rows",
           "codes < within[1]", "codes < within[1] - 1"),
    Mutant("the last key is in no chunk", "blocks",
           "[*cuts, whole[1]]", "[*cuts, whole[1] - 1]"),
    Mutant("a file is only in the block where it starts", "blocks",
           "if first < high and low < end)", "if low <= first < high)"),
    Mutant("a row group is only in the chunk where it starts", "blocks",
           "(self.starts < np.minimum(self.ends, high)) & (low < self.ends)",
           "(self.starts < np.minimum(self.ends, high)) & (low <= self.starts)"),
    Mutant("a file whose last key is the first of a block is not opened", "blocks",
           "& (low < ends))", "& (low < ends - 1))"),
    Mutant("a row group whose last key is the first of a block is not read", "blocks",
           "& (low < self.ends)", "& (low < self.ends - 1)"),
    Mutant("a row group with one key is not read", "blocks",
           "np.searchsorted(codes, self.starts) < np.searchsorted(codes, self.ends)",
           "np.searchsorted(codes, self.starts) + 1 < np.searchsorted(codes, self.ends)"),
    Mutant("the newest span has the rows of the next one's time", "blocks",
           "for span in spans[1:]), None]", "for span in spans), None]"),
    Mutant("spine rows at a cut ask the wrong chunk", "asking",
           "np.searchsorted(codes[self.rows], limits)", 'np.searchsorted(codes[self.rows], limits, "right")'),
    Mutant("row groups of two files are read from one", "segments",
           "chosen[at].file is not chosen[first].file", "False"),
    Mutant("row groups that were not read are taken for read", "chunk_rows",
           "self._visible is None or (wanted & ~self._read).any()", "self._visible is None"),
    Mutant("segments that were not read are taken for read", "segments",
           "name not in self._read or (needed & ~self._read[name].of).any()", "name not in self._read"),
    Mutant("rows of a column read in part are one segment off", "segments",
           "rows - self.starts[segment] + read_before[segment]", "rows - self.starts[segment]"),
    Mutant("a segment's first row is in the one before", "segments",
           'np.searchsorted(self.starts, rows, "right") - 1',
           'np.maximum(np.searchsorted(self.starts, rows, "left") - 1, 0)'),
    # From span to span.
    Mutant("a spine row at the start of a span asks the older one", "join",
           'np.searchsorted(starts, spine.times[rows], "right")', 'np.searchsorted(starts, spine.times[rows], "left")'),
    Mutant("spine rows that found nothing do not ask older spans", "chunk_rows",
           "left = [Asking(features, rows[~found])]", "left: list[Asking] = []"),
    Mutant("features that found only nulls do not ask older spans", "chunk_rows",
           "left = [Asking((name,), rows[~found])]", "left: list[Asking] = []"),
    Mutant("spine rows too early for a block do not ask older ones", "chunk_rows",
           "[] if early is None else [Asking(asking.features, asking.rows[early])]", "list[Asking]()"),
    Mutant("a chunk without their keys drops spine rows", "chunk_rows",
           "return [*left, Asking(asking.features, rows)]", "return left"),
    Mutant("a block without spine rows of its own drops those of newer ones", "join",
           "if not len(own.rows) and not earlier():", "if not len(own.rows):"),
    Mutant("of several blocks, only the last one's rows are asked on", "join",
           "newer, current = current, []", "newer, current = current[-1:], []"),
    Mutant("of several parts, only the last one's rows are asked on", "asking",
           "rows.setdefault(asking.features, []).append(asking.rows)", "rows[asking.features] = [asking.rows]"),
    Mutant("rows of several parts are not put in the order of keys", "asking",
           'rows[np.argsort(codes[rows], kind="stable")]', "rows"),
    Mutant("a value at the last microsecond of a span is too old", "asking",
           "- self.rules.ttl < end", "- self.rules.ttl < end - 1"),
    # The result.
    Mutant("equal spine rows are answered once", "join",
           "mine[order_of_codes(codes[mine])]",
           "mine[np.unique(codes[mine], return_index=True)[1]]"),
    Mutant("the event timestamp is that of the last feature", "asking",
           "np.maximum(self.newest[rows], event)", "event"),
    Mutant("nulls become zeros", "outputs",
           "True if column.valid is None else column.valid[places]", "True"),
    Mutant("texts of one chunk are taken from the next", "outputs",
           'np.arange(len(self._chunks)), "right")', 'np.arange(len(self._chunks)), "left")'),
    Mutant("values of several pieces come in the order of the pieces", "gathered",
           "back[order] = np.arange(len(places))", "back[:] = np.arange(len(places))"),
    Mutant("values of a later piece are those of its first rows", "gathered",
           "piece.take(as_arrow(places[order[first:end]] - start))", "piece.take(as_arrow(np.arange(end - first)))"),
    Mutant("texts are put back in the order in which they were taken", "outputs",
           "back[order] = np.arange(len(order))", "back[np.sort(order)] = np.arange(len(order))"),
]  # fmt: skip


def loaded(mutant: Mutant | None) -> Kernel:
    """The kernel with this fault, in modules of its own."""
    with mutated(ROOM, mutant):
        return Kernel.imported()


@cache
def case_with_answers(seed: int) -> tuple[Case, list[Row]]:
    case = random_case(seed)
    return case, expected_answers(case)


def first_fault(kernel: Kernel) -> str | None:
    """What exposes the kernel, by a wrong answer or an exception; None if it gives the answers of the reference."""
    for seed, limits in product(range(CASES), LIMITS):
        case, expected = case_with_answers(seed)
        kernel.limit(limits)
        try:
            answers = kernel.answers(case, threads=1)
        except Exception as error:
            return f"case {seed}, {limits}: {error!r}"
        fault = difference(expected, answers)
        if fault is not None:
            return f"case {seed}, {limits}: {fault}"
    return None


def test_the_kernel_without_a_fault_passes_all_cases() -> None:
    assert first_fault(loaded(None)) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_cases_expose(mutant: Mutant) -> None:
    assert first_fault(loaded(mutant)) is not None
