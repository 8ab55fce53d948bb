"""Faults planted in the kernel of windowed features: the random cases must expose each of them, or they are too weak."""

from __future__ import annotations

from functools import cache
from itertools import product
from random import Random

import pytest

from tests.inputs.window_cases import Case, random_case
from tests.reference.mutants import Mutant, mutated
from tests.reference.windows import Row
from tests.reference.windows_kernel import LIMITS, ROOM, Kernel, difference, expected_answers

# The cases, each with all limits, before a mutant counts as unseen: those that expose what few others do, and then others.
CASES = (206, 208, 267, 277, 297, 347, *range(200))

MUTANTS = [
    # The edges of windows.
    Mutant("an event exactly one window before T counts", "in_order",
           'before(times, window), "right")', 'before(times, window), "left")'),
    Mutant("an event at T does not count", "chunk_windows",
           'self.spine_codes, self.spine_times, "right")', 'self.spine_codes, self.spine_times, "left")'),
    Mutant("a late event counts one window after it", "as_seen",
           'spine.places(codes, ends, "left")', 'spine.places(codes, ends, "right")'),
    Mutant("a late event does not count where it becomes known", "as_seen",
           'first = spine.places(codes, seen, "left")', 'first = spine.places(codes, seen, "right")'),
    Mutant("a window begins when a late event becomes known", "chunk_windows",
           "after(self.times, window)", "after(self.seen, window)"),
    Mutant("an unbounded window begins one event late", "in_order",
           "np.searchsorted(events.codes, codes)", 'np.searchsorted(events.codes, codes) + 1'),
    Mutant("a window before all time wraps around", "timelines",
           "np.maximum(moments, np.iinfo(np.int64).min + length) - length", "moments - np.int64(length) * 4"),
    Mutant("a window after all time wraps around", "timelines",
           "np.minimum(moments, np.iinfo(np.int64).max - length) + length", "moments + np.int64(length) * 4"),
    Mutant("moments are ranked on the wrong side", "timelines",
           "np.searchsorted(distinct, moments, side)", 'np.searchsorted(distinct, moments, "left")'),
    Mutant("moments are packed with one bit too few", "timelines",
           "(codes - first) << np.int64(bits)) | (moments - earliest) if", "(codes - first) << np.int64(bits - 1)) | (moments - earliest) if"),
    Mutant("moments are not brought within those of the events", "timelines",
           "np.clip(moments, *self.within) - self.within[0]", "moments - self.within[0]"),
    Mutant("keys are not brought within those of the events", "timelines",
           "np.clip(codes, *self.among) - self.among[0]", "np.maximum(codes - self.among[0], 1)"),
    # known_at and superseding.
    Mutant("known_at leaves out what was created at that moment", "event_rows",
           "seen &= created <= known_at", "seen &= created < known_at"),
    Mutant("known_at keeps all", "event_rows",
           "seen &= created <= known_at", "pass"),
    Mutant("known_at keeps a row that was superseded at that moment", "event_rows",
           "seen &= self.until > known_at", "seen &= self.until >= known_at"),
    Mutant("known_at leaves out a row that was superseded later", "event_rows",
           "seen &= self.until > known_at", "seen &= self.until == NEVER"),
    Mutant("superseded rows count", "event_rows",
           "seen &= self.until == NEVER", "pass"),
    Mutant("superseded rows count on under event", "chunk_windows",
           "ends = self.until if window is None else np.minimum(self.until, after(self.times, window))",
           "ends = self.until if window is None else after(self.times, window)"),
    Mutant("superseded rows count on in unbounded windows", "chunk_windows",
           "ends = self.until if window is None else", "ends = np.full_like(self.until, NEVER) if window is None else"),
    Mutant("an event that is superseded is taken for one in order", "chunk_windows",
           "(until is None or bool((until == NEVER).all()))", "True"),
    Mutant("an event that is known late is taken for one in order", "chunk_windows",
           "and bool((seen == times).all())", "and True"),
    Mutant("an event is visible once it is created, even before it happens", "chunk_windows",
           "np.maximum(times, created)", "created"),
    Mutant("the version that came first supersedes", "event_rows",
           "created[rows], numbers[rows])", "-created[rows], numbers[rows])"),
    Mutant("event timestamps decide no ties of versions", "event_rows",
           "*reversed(ranks), times[rows], created[rows]", "*reversed(ranks), created[rows]"),
    Mutant("content is compared before event timestamps", "event_rows",
           "*reversed(ranks), times[rows], created[rows]", "times[rows], *reversed(ranks), created[rows]"),
    Mutant("content decides no ties of versions", "event_rows",
           "*reversed(ranks), times[rows], created[rows]", "times[rows], created[rows]"),
    Mutant("rows without an id are versions of one event", "event_rows",
           "indices[~as_numpy(chunk.indices.is_valid())] = -1", "pass"),
    Mutant("a version supersedes those of another id", "event_rows",
           "numbers[rows][1:] == numbers[rows][:-1]", "numbers[rows][1:] >= numbers[rows][:-1]"),
    Mutant("a row is superseded when it was created itself", "event_rows",
           "created[rows[1:][is_followed]]", "created[rows[:-1][is_followed]]"),
    # Which events count.
    Mutant("a null condition holds", "join",
           "return plain_values(one_array(column))", "return plain_values(one_array(column), 1)"),
    Mutant("conditions are ignored", "chunk_windows",
           'self.masks.get(counted.where or "")', "None"),
    Mutant("nulls count", "chunk_windows",
           "None if counted.of is None else self.columns[counted.of].valid", "None"),
    Mutant("infinities and NaN count", "event_columns",
           "if not finite.all():", "if False:"),
    Mutant("NaN counts where there are nulls", "event_columns",
           "finite if valid is None else valid & finite", "finite if valid is None else valid"),
    Mutant("conditions are in the order of the rows", "chunk_windows",
           "mask[self.rows] for mask", "mask[: len(self.rows)] for mask"),
    # Functions.
    Mutant("sums begin one event late", "in_order",
           "np.cumsum(numbers, out=sums[1:])", "sums[1:] = np.cumsum(numbers) - numbers"),
    Mutant("the second of two blocks is left out", "in_order",
           "numbers[self.ends[rows] - (1 << level)])", "numbers[self.starts[rows]])"),
    Mutant("blocks are not doubled", "in_order",
           "numbers = np.minimum(numbers[: -(1 << level)], numbers[1 << level :])", "pass"),
    Mutant("the second of two blocks of spine rows is left out", "as_seen",
           "np.minimum.at(found, self.ends[events] - (1 << level), numbers[events])", "pass"),
    Mutant("blocks of spine rows are not halved", "as_seen",
           "np.minimum(found[half:], found[:-half], out=halved[half:])", "pass"),
    Mutant("a value is distinct from itself", "in_order",
           "begun[later] = over[earlier] = 1", "pass"),
    Mutant("a value that comes again after the window is not distinct", "in_order",
           "if self.window is not None:", "if False:"),
    Mutant("values of several keys are one", "in_order",
           "(self.codes[order][1:] == self.codes[order][:-1]) & (values", "(values"),
    Mutant("late ranges of one value overlap", "as_seen",
           "np.maximum(starts[1:], reached[:-1])", "starts[1:]"),
    Mutant("late ranges reach only as far as the one before", "as_seen",
           "np.maximum.accumulate(ends + groups) - groups", "ends"),
    Mutant("zeros of two signs are two values", "event_columns",
           "longs = np.where(longs == -1, 0, longs)", "pass"),
    Mutant("negative numbers are in the order of their size", "event_columns",
           "np.where(bits < 0, bits ^ _MAGNITUDE, bits)", "bits"),
    Mutant("texts are in the order in which they come", "event_columns",
           "order = as_numpy(pc.sort_indices(chunks[0].dictionary))", "order = np.arange(len(chunks[0].dictionary))"),
    Mutant("created timestamps decide no ties", "chunk_windows",
           "np.lexsort((values[members], created[members], runs))", "np.lexsort((values[members], runs))"),
    Mutant("values decide no ties", "chunk_windows",
           "np.lexsort((values[members], created[members], runs))", "np.lexsort((created[members], runs))"),
    Mutant("the first of a tie stays where it is", "chunk_windows",
           "np.flatnonzero(follows | np.append(tied, False))", "np.flatnonzero(follows)"),
    Mutant("last_n begins with the oldest", "functions",
           "back = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)",
           "back = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(rows))"),
    Mutant("lists are in the order of keys", "outputs",
           "flat[np.repeat(starts[rows], of_rows) + within] = numbers", "flat[: len(numbers)] = numbers"),
    Mutant("a percentile is of the rank below", "functions",
           "-(-share.numerator * count // share.denominator)", "share.numerator * count // share.denominator"),
    Mutant("a share is the double that it is written as", "functions",
           "Fraction(Decimal(repr(float(p))))", "Fraction(p)"),
    Mutant("the rank in a multiset is not lessened by what is passed", "nth",
           "np.where(goes_on, nth - count, nth)", "nth"),
    Mutant("events that are over are not left out", "nth",
           "count = started_zeros - ended_zeros", "count = started_zeros"),
    Mutant("ranks go on from key to key", "in_order",
           "return ranks - np.searchsorted(codes, codes)", "return ranks"),
    # Chunks and the result.
    Mutant("a chunk's spine rows have their numbers among those with a key", "chunks",
           "asking[row]", "row"),
    Mutant("a chunk's events have their numbers among the visible ones", "chunks",
           "event if rows is None else rows[event]", "event"),
    Mutant("rows are taken for sorted", "timelines",
           "if bool(((codes[1:] > codes[:-1])", "if True or bool(((codes[1:] > codes[:-1])"),
    Mutant("nulls become zeros", "outputs",
           "self._valid[rows] = results.valid", "self._valid[rows] = True"),
]  # fmt: skip


def loaded(mutant: Mutant | None) -> Kernel:
    """The kernel with this fault, in modules of its own."""
    with mutated(ROOM, mutant):
        return Kernel.imported()


@cache
def case_with_answers(seed: int) -> tuple[Case, list[Row] | str]:
    case = random_case(seed)
    return case, expected_answers(case)


def first_fault(kernel: Kernel) -> str | None:
    """What exposes the kernel, by a wrong answer or an exception; None if it gives the answers of the reference."""
    for seed, limits in product(CASES, LIMITS):
        case, expected = case_with_answers(seed)
        order = Random(seed).sample(range(len(case.events)), len(case.events))
        kernel.limit(limits)
        try:
            answers = kernel.answers(case, order)
        except Exception as error:
            return f"case {seed}, {limits}: {error!r}"
        fault = difference(case, expected, answers)
        if fault is not None:
            return f"case {seed}, {limits}: {fault}"
    return None


def test_the_kernel_without_a_fault_passes_all_cases() -> None:
    assert first_fault(loaded(None)) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_cases_expose(mutant: Mutant) -> None:
    assert first_fault(loaded(mutant)) is not None
