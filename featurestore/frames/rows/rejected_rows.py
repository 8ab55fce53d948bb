"""Whether a rejected row is about an entity. Its text is unchanged, so a join key may have any spelling.

The rule errs on the side of erasing. For each join key, it searches the content under the key's name, at any depth:

- The key's value counts in any spelling: ``42.0``, ``"42"`` or ``" 4.2e1"`` for 42, with escaped characters, or with
  blanks, brackets or quotes around a text.
- If the content cannot be read as the key's type, or was a reason for the rejection, the value counts anywhere in it.
- If the row has no such content (no member, null, or a text that is not a JSON object), the value counts anywhere in
  the row.

All join keys must match. A row with readable keys of another entity is about that entity only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any

import pyarrow as pa

from featurestore.definitions.values.types import storage_of_key
from featurestore.frames.rows.key_spellings import Spelling, spelling_of, unescaped, values_in
from featurestore.frames.schema import data_type
from featurestore.kinds.registry import kind_of
from featurestore.late_spark import DataFrame, F, StringType, StructField, StructType

# A text may match very many entities. Those beyond this number are not tried.
_MOST_CANDIDATES = 10_000


class _Number(str):
    """A number as the text spells it, so that one beyond 2^53, or with a thousand digits, stays exact."""


class _Members(tuple[tuple[str, Any], ...]):
    """An object's members in order, including a name that comes twice."""


def about_any(rows: DataFrame, entities: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The distinct texts (``row``) of those rejected rows (``row``, ``reasons``) that are about one of the entities."""
    spellings = [spellings_of(entity) for entity in entities]

    def about(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts, reasons = batch.column("row").to_pylist(), batch.column("reasons").to_pylist()
            rejected = [RejectedRow(text or "", why or ()) for text, why in zip(texts, reasons, strict=True)]
            matches = [any(row.is_about(entity) for entity in spellings) for row in rejected]
            yield batch.select(["row"]).filter(pa.array(matches, pa.bool_()))

    return rows.select("row", "reasons").distinct().mapInArrow(about, "row string").distinct()


def mentions_of_any(rows: DataFrame, text: str, entities: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The distinct texts of a column that contain all join keys of one of the entities anywhere."""
    spellings = [spellings_of(entity) for entity in entities]

    def mentioning(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts = batch.column(text).to_pylist()
            matches = [any(mentions(content, entity) for entity in spellings) for content in texts]
            yield batch.filter(pa.array(matches, pa.bool_()))

    contents = rows.where(F.col(text).isNotNull()).select(text)
    return contents.distinct().mapInArrow(mentioning, contents.schema).distinct()


def may_be_about(rows: DataFrame, text: str, reasons: str, kinds: Mapping[str, str]) -> DataFrame:
    """One row per rejected row's ``text`` and entity that it may be about: the text and the entity's join keys."""
    fields = [StructField("text", StringType())]
    fields += [StructField(name, data_type(storage_of_key(kind))) for name, kind in kinds.items()]
    arrow = pa.schema(
        [pa.field("text", pa.string()), *(pa.field(name, kind_of(kind).arrow_type) for name, kind in kinds.items())]
    )

    def candidates(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts, why = batch.column("text").to_pylist(), batch.column("reasons").to_pylist()
            pairs = [
                {"text": content, **entity}
                for content, reasons in zip(texts, why, strict=True)
                for entity in RejectedRow(content, reasons).may_be_about(kinds)
            ]
            yield pa.RecordBatch.from_pylist(pairs, schema=arrow)

    named = rows.where(F.col(text).isNotNull()).select(F.col(text).alias("text"), F.col(reasons).alias("reasons"))
    return named.distinct().mapInArrow(candidates, StructType(fields))


def spellings_of(entity: Mapping[str, Any]) -> dict[str, Spelling]:
    return {name: spelling_of(value) for name, value in entity.items()}


def mentions(text: str, entity: Mapping[str, Spelling]) -> bool:
    """Whether a text contains the values of all join keys, anywhere and in any spelling."""
    levels = _levels(text)
    return all(any(spelling.is_in(level) for level in levels) for spelling in entity.values())


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row: its text, and the reasons, each of which begins with a column's name."""

    text: str
    reasons: Sequence[str] = ()

    def is_about(self, entity: Mapping[str, Spelling]) -> bool:
        return all(self._has(name, spelling) for name, spelling in entity.items())

    def _has(self, name: str, spelling: Spelling) -> bool:
        contents = [content for member, content in _members(self._parsed) if member == name]
        if any(_is_scalar(content) and spelling.is_same(content) for content in contents):
            return True
        faulty = any(reason.startswith(f"{name}: ") for reason in self.reasons)
        doubtful = (
            content for content in contents if faulty or not (_is_scalar(content) and spelling.is_kind(content))
        )
        if any(spelling.is_in(level) for content in doubtful for level in _levels(_as_text(content))):
            return True
        return not self._has_own_content(name) and any(spelling.is_in(level) for level in self._whole)

    def may_be_about(self, kinds: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The entities that the row may be about, by join keys of these types.

        For callers that know erased entities only by their hashes.
        """
        values = [sorted(self._values(name, kind), key=str) for name, kind in kinds.items()]
        for combined in islice(product(*values), _MOST_CANDIDATES):
            entity = dict(zip(kinds, combined, strict=True))
            if self.is_about(spellings_of(entity)):
                yield entity

    def _values(self, name: str, kind: str) -> set[Any]:
        contents = [content for member, content in _members(self._parsed) if member == name]
        texts = [line for content in contents for line in _scalars(content)]
        if not self._has_own_content(name):
            texts += [self.text] if self._parsed is None else _scalars(self._parsed)
        return {value for text in texts for level in _levels(text) for value in values_in(level, kind)}

    def _has_own_content(self, name: str) -> bool:
        """Whether the row itself, not an object nested in it, has content under the name."""
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
    """The JSON value; None if the text is not JSON, or is nested too deeply to be parsed."""
    try:
        return json.loads(
            text, object_pairs_hook=_Members, parse_int=_Number, parse_float=_Number, parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        return None


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object in the value, including objects in JSON inside a string."""
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
    """All scalars in a value, and the names of its members, as text."""
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
    """The text, and the text with its escapes undone, again and again, because JSON may contain JSON."""
    levels = [text]
    while (plainer := unescaped(levels[-1])) != levels[-1]:
        levels.append(plainer)
    return levels + [level.replace('""', '"').replace("''", "'") for level in levels if '""' in level or "''" in level]
