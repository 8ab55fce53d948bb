"""Whether a rejected row is about an entity: its text is kept as it came, so a join key may stand in it in any spelling.

The rule errs on the side of erasing. For each join key, what the row has under its name, at any depth, is looked at:

- the key's own value counts in any spelling: ``42.0``, ``"42"`` or ``" 4.2e1"`` for 42, escaped characters, blanks,
  brackets or quotes around a text;
- where that content cannot be read as the key's type, or was a reason for the rejection, the value anywhere in it counts;
- where the row has no such content (none, null, or a text that is no JSON object), the value anywhere in the row counts.

All join keys must be met. A row whose keys can be read, and are another entity's, is that entity's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from featurestore.definitions.values.types import storage_of_key
from featurestore.frames.rows.key_spellings import Spelling, spelling_of, unescaped, values_in
from featurestore.frames.schema import data_type
from featurestore.kinds.registry import kind_of

# Of a text that may be about more entities than so many, the others are not tried.
_MOST_CANDIDATES = 10_000


class _Number(str):
    """A number as the text spells it: beyond 2^53, or with a thousand digits, it stays what it is."""


class _Members(tuple[tuple[str, Any], ...]):
    """An object's members in their order, also where a name comes twice."""


def about_any(rows: DataFrame, entities: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The texts (``row``, each once) of rejected rows (``row`` and ``reasons``) that are about one of the entities."""
    spellings = [spellings_of(entity) for entity in entities]

    def about(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts, reasons = batch.column("row").to_pylist(), batch.column("reasons").to_pylist()
            rejected = [RejectedRow(text or "", why or ()) for text, why in zip(texts, reasons, strict=True)]
            kept = [any(row.is_about(entity) for entity in spellings) for row in rejected]
            yield batch.select(["row"]).filter(pa.array(kept, pa.bool_()))

    return rows.select("row", "reasons").distinct().mapInArrow(about, "row string").distinct()


def mentions_of_any(rows: DataFrame, text: str, entities: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The texts in a column, each once, that have all join keys of one of the entities anywhere."""
    spellings = [spellings_of(entity) for entity in entities]

    def mentioning(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            kept = [any(mentions(said, entity) for entity in spellings) for said in batch.column(text).to_pylist()]
            yield batch.filter(pa.array(kept, pa.bool_()))

    said = rows.where(F.col(text).isNotNull()).select(text)
    return said.distinct().mapInArrow(mentioning, said.schema).distinct()


def may_be_about(rows: DataFrame, text: str, reasons: str, kinds: Mapping[str, str]) -> DataFrame:
    """Of rejected rows the text, as ``text``, and the join keys of each entity that it may be about, a row each."""
    fields = [StructField("text", StringType())]
    fields += [StructField(name, data_type(storage_of_key(kind))) for name, kind in kinds.items()]
    arrow = pa.schema(
        [pa.field("text", pa.string()), *(pa.field(name, kind_of(kind).arrow_type) for name, kind in kinds.items())]
    )

    def candidates(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts, why = batch.column("text").to_pylist(), batch.column("reasons").to_pylist()
            made = [
                {"text": said, **entity}
                for said, reasons in zip(texts, why, strict=True)
                for entity in RejectedRow(said, reasons).may_be_about(kinds)
            ]
            yield pa.RecordBatch.from_pylist(made, schema=arrow)

    named = rows.where(F.col(text).isNotNull()).select(F.col(text).alias("text"), F.col(reasons).alias("reasons"))
    return named.distinct().mapInArrow(candidates, StructType(fields))


def spellings_of(entity: Mapping[str, Any]) -> dict[str, Spelling]:
    return {name: spelling_of(value) for name, value in entity.items()}


def mentions(text: str, entity: Mapping[str, Spelling]) -> bool:
    """Whether the values of all join keys are anywhere in a text, in any spelling."""
    levels = _levels(text)
    return all(any(wanted.is_in(level) for level in levels) for wanted in entity.values())


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row: its text, and the reasons, which begin with the column's name."""

    text: str
    reasons: Sequence[str] = ()

    def is_about(self, entity: Mapping[str, Spelling]) -> bool:
        return all(self._has(name, spelling) for name, spelling in entity.items())

    def _has(self, name: str, wanted: Spelling) -> bool:
        contents = [content for member, content in _members(self._parsed) if member == name]
        if any(_is_scalar(content) and wanted.is_same(content) for content in contents):
            return True
        faulty = any(reason.startswith(f"{name}: ") for reason in self.reasons)
        doubtful = (content for content in contents if faulty or not (_is_scalar(content) and wanted.is_kind(content)))
        if any(wanted.is_in(level) for content in doubtful for level in _levels(_as_text(content))):
            return True
        return not self._tells(name) and any(wanted.is_in(level) for level in self._whole)

    def may_be_about(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The entities, by join keys of these types, that the row may be about: for who knows erased ones by hashes alone."""
        values = [sorted(self._values(name, kind), key=str) for name, kind in kinds.items()]
        for combined in islice(product(*values), _MOST_CANDIDATES):
            entity = dict(zip(kinds, combined, strict=True))
            if self.is_about(spellings_of(entity)):
                yield entity

    def _values(self, name: str, kind: str) -> set[Any]:
        contents = [content for member, content in _members(self._parsed) if member == name]
        texts = [line for content in contents for line in _scalars(content)]
        if not self._tells(name):
            texts += [self.text] if self._parsed is None else _scalars(self._parsed)
        return {value for text in texts for level in _levels(text) for value in values_in(level, kind)}

    def _tells(self, name: str) -> bool:
        """Whether the row itself, not something within it, has content under the name."""
        own = self._parsed if isinstance(self._parsed, _Members) else ()
        is_missing = f"{name}: missing" in self.reasons
        return not is_missing and any(member == name and _as_text(content).strip() for member, content in own)

    @cached_property
    def _parsed(self) -> Any:
        return _parsed(self.text)

    @cached_property
    def _whole(self) -> list[str]:
        return _levels(self.text)


def _parsed(text: str) -> Any:
    """The JSON value, or None where the text is none, or is nested too deeply to be read."""
    try:
        return json.loads(
            text, object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        return None


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object within the value, also of JSON that is written in a text."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _Members):
            yield from part
            waiting += [content for _, content in part]
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and part.lstrip()[:1] in ("{", "["):
            waiting.append(_parsed(part))


def _is_scalar(content: Any) -> bool:
    return content is not None and not isinstance(content, list | _Members)


def _as_text(content: Any) -> str:
    return "\n".join(_scalars(content))


def _scalars(content: Any) -> list[str]:
    """All scalars within a value, and the names of its members, as texts."""
    lines, waiting = [], [content]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _Members):
            waiting += [side for member in part for side in member]
        elif isinstance(part, list):
            waiting += part
        elif part is not None:
            lines.append(str(part))
    return lines


def _levels(text: str) -> list[str]:
    """The text, and what it says once its escapes are undone, again and again: JSON may be written within JSON."""
    levels = [text]
    while (plainer := unescaped(levels[-1])) != levels[-1]:
        levels.append(plainer)
    return levels + [level.replace('""', '"').replace("''", "'") for level in levels if '""' in level or "''" in level]
