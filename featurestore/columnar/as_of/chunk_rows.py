"""The answers that the rows of one chunk give to the spine rows that ask it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from featurestore.columnar.as_of.asking import Answers, Asking
from featurestore.columnar.as_of.blocks import Block, Chunk
from featurestore.columnar.as_of.gathered import Places
from featurestore.columnar.as_of.value_rows import read_value_rows
from featurestore.columnar.as_of.visible_rows import VisibleRows
from featurestore.columnar.fixed_width import Mask
from featurestore.errors import InvariantError


@dataclass
class ChunkRows:
    """A chunk whose rows are read when spine rows ask for keys that it may hold."""

    block: Block
    chunk: Chunk
    answers: Answers
    _visible: VisibleRows | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._read = np.zeros(len(self.chunk.row_groups), bool)

    def answer(self, asking: Asking) -> list[Asking]:
        """Put the values that the chunk has for these spine rows; returns those that must ask older ones."""
        early = self._too_early(asking.rows)
        left = [] if early is None else [Asking(asking.features, asking.rows[early])]
        rows = asking.rows if early is None else asking.rows[~early]
        visible = self._visible_to(rows)
        if visible is None:
            return [*left, Asking(asking.features, rows)]
        return [*left, *_Answering(visible, self.answers, rows).answer(asking.features)]

    def _too_early(self, rows: Places) -> Mask | None:
        """The spine rows at whose time no row of the block was known; None if that was not found out."""
        if self.answers.rules.known_at != "event":
            return None
        created = [file.created[0] for file in self.block.files]
        known = [moment for moment in created if moment is not None]
        early = self.answers.spine.times[rows] < min(known, default=0)
        return early if len(known) == len(created) and early.any() else None

    def _visible_to(self, rows: Places) -> VisibleRows | None:
        """The rows of at least all keys that these spine rows ask for; None if the chunk has none."""
        wanted = self.chunk.holding(self.answers.spine.codes[rows])
        if not wanted.any():
            return None
        if self._visible is None or (wanted & ~self._read).any():
            self._visible, self._read = self._rows_of(wanted), wanted
        return self._visible

    def _rows_of(self, row_groups: Mask) -> VisibleRows:
        rules = self.answers.rules
        by_event = rules.known_at == "event"
        needs_created = by_event or (isinstance(rules.known_at, int) and self._has_unknown(rules.known_at))
        segments = self.chunk.segments(row_groups)
        rows = read_value_rows(segments, self.answers.spine.keys, rules, self.chunk.codes, needs_created)
        return VisibleRows.of(rows, by_event)

    def _has_unknown(self, known_at: int) -> bool:
        """Whether a file may have rows that were created later."""
        return any(file.created[1] is None or file.created[1] > known_at for file in self.block.files)


@dataclass(frozen=True)
class _Answering:
    """Spine rows that ask value rows."""

    visible: VisibleRows
    answers: Answers
    rows: Places

    def answer(self, features: tuple[str, ...]) -> list[Asking]:
        spine, rows = self.answers.spine, self.rows
        codes = spine.codes[rows]
        places = self.visible.last_visible(codes, spine.times[rows])
        taken = self.visible.taken(places, codes)
        found = taken >= 0
        left = [Asking(features, rows[~found])]
        if not found.any():
            return left
        rows, places, taken = rows[found], places[found], taken[found]
        fresh = self._fresh(rows, taken)
        if fresh is not None:
            rows, places, taken = rows[fresh], places[fresh], taken[fresh]
        if not len(rows):
            return left
        segments, numbers = self.visible.rows.segments, self.visible.rows.rows[taken]
        nullable, put = [], {}
        for name, column in segments.columns(features, segments.holding(numbers)).items():
            at = segments.places(column, numbers)
            if self.answers.rules.nulls == "skip" and column.valid is not None and not column.valid[at].all():
                nullable.append(name)
            else:
                put[name] = column, at
        self.answers.put(rows, put)
        if len(nullable) < len(features):
            self._note(rows, taken)
        return [*left, *(each for name in nullable for each in self._answer_valid(name, rows, places))]

    def _answer_valid(self, name: str, rows: Places, places: Places) -> list[Asking]:
        """Put the latest value that is not null: it may be in any row of the key up to these places."""
        segments = self.visible.rows.segments
        column = segments.columns([name], np.ones(len(segments.segments), bool))[name]
        assert column.valid is not None
        in_order = column.valid[self.visible.rows.rows]
        taken = self.visible.taken(places, self.answers.spine.codes[rows], in_order)
        found = taken >= 0
        left = [Asking((name,), rows[~found])]
        rows, taken = rows[found], taken[found]
        fresh = self._fresh(rows, taken)
        if fresh is not None:
            rows, taken = rows[fresh], taken[fresh]
        self.answers.put(rows, {name: (column, segments.places(column, self.visible.rows.rows[taken]))})
        self._note(rows, taken)
        return left

    def _note(self, rows: Places, taken: Places) -> None:
        if self.answers.newest is not None:
            self.answers.note(rows, self.visible.rows.event[taken])

    def _fresh(self, rows: Places, taken: Places) -> Mask | None:
        """Whether what each row takes is young enough; None if all is. Raises InvariantError for what is too new."""
        event, times = self.visible.rows.event[taken], self.answers.spine.times[rows]
        if (event > times).any():
            raise InvariantError(
                "the as-of join saw a value newer than its spine row; nothing may be built from this. Please report it "
                "with the definitions"
            )
        if self.answers.rules.ttl is None:
            return None
        fresh: Mask = event >= times - self.answers.rules.ttl
        return None if fresh.all() else fresh
