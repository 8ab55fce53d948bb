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

from featurestore.columnar.erased.identities import ErasedEntities, Pads, identity_hashes, is_listed
from featurestore.columnar.erased.key_spellings import Spelling, spelling_of, unescaped, values_in
from featurestore.columnar.fixed_width import as_numpy
from featurestore.columnar.rows.names import FAULTS, ROW, SUPPRESSED
from featurestore.kinds.registry import kind_of

# A text may match very many entities. Those beyond this number are not tried.
_MOST_CANDIDATES = 10_000


class _Number(str):
    """A number as the text spells it, so that one beyond 2^53, or with a thousand digits, stays exact."""


class _Members(tuple[tuple[str, Any], ...]):
    """An object's members in order, including a name that comes twice."""


def with_rejected_suppressed(
    checked: pa.Table, tenant_id: str, erased: Sequence[ErasedEntities], kinds: Mapping[str, str], pads: Pads
) -> pa.Table:
    """Set ``__suppressed`` also for rejected rows with a text that may be about an erased entity.

    ``checked`` has ``__suppressed``, ``__faults`` and ``__row``; ``kinds``: join key -> its type. The key of such a row
    could not be read, because it is in a list or spelled differently, but the row's text would be stored.
    """
    suppressed = as_numpy(checked.column(SUPPRESSED).combine_chunks()).copy()
    texts, reasons = checked.column(ROW).to_pylist(), checked.column(FAULTS)
    rejected = [(row, text, tuple(reasons[row].as_py())) for row, text in enumerate(texts) if text is not None]
    for entities in erased:
        remaining = {(text, why) for row, text, why in rejected if not suppressed[row]}
        about = _texts_about(remaining, tenant_id, entities, kinds, pads)
        suppressed[[row for row, text, _ in rejected if text in about]] = True
    at = checked.column_names.index(SUPPRESSED)
    return checked.set_column(at, checked.schema.field(at), pa.array(suppressed, pa.bool_()))


def _texts_about(
    rejected: set[tuple[str, tuple[str, ...]]],
    tenant_id: str,
    entities: ErasedEntities,
    kinds: Mapping[str, str],
    pads: Pads,
) -> set[str]:
    """The texts that may be about one of the entities."""
    of_keys = {key: kinds[key] for key in entities.columns}
    found = candidates(sorted(rejected), of_keys)
    hashes = identity_hashes(tenant_id, entities.entity, {key: found.column(key) for key in of_keys}, pads)
    return set(found.column("text").filter(pa.array(is_listed(hashes, entities.hashes))).to_pylist())


def candidates(rejected: Sequence[tuple[str, Sequence[str]]], kinds: Mapping[str, str]) -> pa.Table:
    """One row per rejected row (text, reasons) and entity that it may be about: ``text`` and the typed join keys."""
    schema = pa.schema(
        [pa.field("text", pa.string()), *(pa.field(name, kind_of(kind).arrow_type) for name, kind in kinds.items())]
    )
    pairs = [
        {"text": text, **entity}
        for text, reasons in rejected
        for entity in RejectedRow(text, reasons).may_be_about(kinds)
    ]
    return pa.Table.from_pylist(pairs, schema)


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
