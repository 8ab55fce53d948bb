"""Rows as chat messages, one line ``{"messages": [...]}`` each, or the reason why a row has no line.

The executors make and check the lines of Spark's rows, and this process those of rows that it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
from jinja2.exceptions import SecurityError

from featurestore.columnar.ranks import one_array
from featurestore.columnar.rows.fingerprint import row_hashes
from featurestore.columnar.text.json_lines import one_line
from featurestore.columnar.training_sets.splits import EMBARGO, PARTS
from featurestore.frames.columns import column
from featurestore.frames.fingerprint import row_hash
from featurestore.frames.text.chat_template import compile_template
from featurestore.frames.text.value_text import inputs_text, value_text
from featurestore.kinds.arrow_columns.lists import is_list_type, with_elements
from featurestore.kinds.json_text.arrow_json import check_digits
from featurestore.late_spark import Column, DataFrame, F, T, to_arrow_schema

Messages: TypeAlias = list[dict[str, str]]
FormatFunction: TypeAlias = Callable[[dict[str, Any]], Any]

# The part of rows without a split.
ALL = "all"
# Why a row has no line. The first three leave the row out, the last always fails the export.
OUTPUT_MISSING = "the output is missing"
IN_EMBARGO = "in the embargo before a part"
IN_NO_PART = "in no part of the split"
TEMPLATE_FAILED = "the template failed"
FUNCTION_FAILED = "format_fn failed"
NOT_MESSAGES = "not valid messages"
REFUSED = "the sandbox refused the template"
LEFT_OUT = (OUTPUT_MISSING, IN_EMBARGO, IN_NO_PART)

_LINES = "part string, hash_1 long, hash_2 long, reason string, detail string, line string, missing array<string>"
LINES = pa.schema(
    {"part": pa.string(), "hash_1": pa.int64(), "hash_2": pa.int64(), "reason": pa.string(), "detail": pa.string()}
    | {"line": pa.string(), "missing": pa.list_(pa.string())}
)
# Characters of a row's ``detail``.
_LONGEST_DETAIL = 500
# Rows that are Python's objects at a time.
_LINES_AT_ONCE = 10_000
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class ChatFormat:
    """How a row becomes messages: by ``format_fn``, else by ``template``, else with one line per input.

    ``output``: the column with the assistant's answer. ``identified_by``: the columns that identify a row in
    ``detail``. ``columns``: all columns that are used; None means all of the row's.
    """

    inputs: tuple[str, ...]
    output: str
    identified_by: tuple[str, ...]
    system: str | None = None
    template: str | None = None
    format_fn: FormatFunction | None = None
    columns: tuple[str, ...] | None = None

    def uses(self, name: str) -> bool:
        return self.columns is None or name in self.columns


def chat_lines(rows: DataFrame, format: ChatFormat, seed: int, split: str | None = None) -> DataFrame:
    """One row per row: ``part, hash_1, hash_2, reason, detail, line, missing``; a line or a reason, never both.

    ``missing`` names the columns of the prompt that are null in the row. ``part`` is the value of the column ``split``
    (``all`` without a split). The hashes are of (seed, row), so that ordering and sharding by them give the same result
    with any partitioning.
    """
    part = F.lit(ALL) if split is None else column(split)
    content = [field for field in rows.schema if field.name != split]
    hashes = [row_hash([column(field.name) for field in content], seed + n).alias(f"hash_{n + 1}") for n in (0, 1)]
    used = [field for field in content if format.uses(field.name)]
    values = [_for_python(column(field.name), field.dataType).alias(f"c{n}") for n, field in enumerate(used)]
    inputs = rows.select(part.alias("part"), *hashes, *values)
    schema = to_arrow_schema(inputs.schema, timezone="UTC")
    names = [field.name for field in used]

    def make_lines(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        maker = LineMaker(format)
        for batch in batches:
            in_utc = [values.cast(field.type) for values, field in zip(batch.columns, schema, strict=True)]
            yield maker.lines(in_utc[:3], dict(zip(names, in_utc[3:], strict=True)))

    return inputs.mapInArrow(make_lines, _LINES)


def local_chat_lines(
    rows: pa.Table, format: ChatFormat, seed: int, split: str | None = None
) -> Iterator[pa.RecordBatch]:
    """The same of rows in this process, in batches; raises UndecidedError, before any line is made, for rows of which
    only Spark knows what a prompt shows.
    """
    content = [name for name in rows.column_names if name != split]
    part = pa.repeat(pa.scalar(ALL), rows.num_rows) if split is None else rows.column(split)
    hashes = [pa.array(row_hashes([rows.column(name) for name in content], seed + n, rows.num_rows)) for n in (0, 1)]
    used = {name: _local_for_python(one_array(rows.column(name))) for name in content if format.uses(name)}
    maker = LineMaker(format)
    inputs = pa.table([part, *hashes, *used.values()], [str(number) for number in range(3 + len(used))])
    for batch in inputs.to_batches(max_chunksize=_LINES_AT_ONCE):
        yield maker.lines(batch.columns[:3], dict(zip(used, batch.columns[3:], strict=True)))


def missing_inputs(lines: DataFrame) -> DataFrame:
    """``name, count``: one row per column that is missing in a line of ``chat_lines``, the most frequent first."""
    names = lines.where(F.col("line").isNotNull()).select(F.explode("missing").alias("name"))
    return names.groupBy("name").count().orderBy(F.desc("count"), "name")


def _for_python(value: Column, kind: T.DataType) -> Column:
    """The value with 32-bit floats as doubles of the same digits: 0.1 and not 0.10000000149011612."""
    if isinstance(kind, T.FloatType):
        return value.cast("string").cast("double")
    if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.FloatType):
        return F.transform(value, lambda item: item.cast("string").cast("double"))
    return value.cast("string") if isinstance(kind, T.NullType) else value


def _local_for_python(value: pa.Array) -> pa.Array:
    """The same of a column of Arrow; raises UndecidedError where Spark's digits depend on the version of Java."""
    if pa.types.is_float32(value.type):
        check_digits(value)
        return value.cast(pa.string()).cast(pa.float64())
    if is_list_type(value.type) and pa.types.is_float32(value.type.value_type):
        return with_elements(value, _local_for_python(value.flatten()))
    return value


class LineMaker:
    """Makes a line of each row; compiles the templates once."""

    def __init__(self, format: ChatFormat) -> None:
        self._format = format
        self._system = None if format.system is None else compile_template(format.system)
        self._template = None if format.template is None else compile_template(format.template)
        templates = [template for template in (self._system, self._template) if template is not None]
        inputs = format.inputs if format.template is None else ()
        self._prompt_columns = sorted({*inputs, *(name for template in templates for name in template.columns)})

    def lines(self, known: Sequence[pa.Array], columns: Mapping[str, pa.Array]) -> pa.RecordBatch:
        """The lines of a batch of rows; ``known``: their parts and hashes."""
        values = [column.to_pylist(maps_as_pydicts="strict") for column in columns.values()]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
        lines = [self.line(part, row) for part, row in zip(known[0].to_pylist(), rows, strict=True)]
        made = [pa.array([line[n] for line in lines], pa.string()) for n in range(3)]
        missing = pa.array([self.missing(row) for row in rows], pa.list_(pa.string()))
        return pa.RecordBatch.from_arrays([*known, *made, missing], names=LINES.names)

    def missing(self, row: dict[str, Any]) -> list[str]:
        """The columns of the prompt that are null; these are the columns that templates name, or else the inputs."""
        return [name for name in self._prompt_columns if row[name] is None]

    def line(self, part: str | None, row: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
        """(reason, detail, line) of a row: a reason or a line. ``detail`` says which row it is, and what was found."""
        output = row[self._format.output]
        if output is None or (isinstance(output, str) and not output.strip()):
            return OUTPUT_MISSING, None, None
        if part not in (*PARTS, ALL):
            return (IN_EMBARGO if part == EMBARGO else IN_NO_PART), None, None
        try:
            messages = self._messages(row)
        except SecurityError as error:
            return REFUSED, self._detail(row, str(error)), None
        # Whatever a user's template or function raises is the reason of this row alone; other rows go on.
        except Exception as error:
            reason = TEMPLATE_FAILED if self._format.format_fn is None else FUNCTION_FAILED
            return reason, self._detail(row, f"{type(error).__name__}: {error}"), None
        fault = messages_fault(messages)
        if fault is not None:
            return NOT_MESSAGES, self._detail(row, fault), None
        return None, None, json_line(messages)

    def _messages(self, row: dict[str, Any]) -> Any:
        system = [] if self._system is None else [{"role": "system", "content": self._system.render(row)}]
        content: Any
        if self._format.format_fn is not None:
            content = self._format.format_fn(dict(row))
        elif self._template is not None:
            content = self._template.render(row)
        else:
            content = inputs_text(row, self._format.inputs)
        if isinstance(content, str):
            answer = {"role": "assistant", "content": value_text(row[self._format.output])}
            return [*system, {"role": "user", "content": content}, answer]
        if isinstance(content, Mapping):
            if list(content) != ["messages"]:
                return f"a mapping of {list(content)}, where 'messages' alone is possible"
            content = content["messages"]
        if isinstance(content, Sequence) and not _begins_with_system(content):
            return [*system, *content]
        return content

    def _detail(self, row: dict[str, Any], fault: str) -> str:
        identity = ", ".join(f"{name}={value_text(row[name])}" for name in self._format.identified_by)
        return f"{identity}: {fault}"[:_LONGEST_DETAIL].encode("utf-8", "replace").decode("utf-8")


def _begins_with_system(messages: Sequence[Any]) -> bool:
    return bool(messages) and isinstance(messages[0], Mapping) and messages[0].get("role") == "system"


def messages_fault(messages: object) -> str | None:
    """What is wrong with the messages, or None.

    Valid messages are an optional system message, then user and assistant in turn, the assistant last. Each is a
    mapping of ``role`` and ``content``; the content is a text that is not blank.
    """
    if isinstance(messages, str) or not isinstance(messages, Sequence):
        return (
            f"expected a list of messages, found {messages if isinstance(messages, str) else type(messages).__name__}"
        )
    for number, message in enumerate(messages, 1):
        fault = _message_fault(message)
        if fault is not None:
            return f"message {number}: {fault}"
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or len(turns) % 2 or turns != ["user", "assistant"] * (len(turns) // 2):
        return (
            f"roles are {roles}; give an optional system message, then user and assistant in turn, the assistant last"
        )
    return None


def _message_fault(message: object) -> str | None:
    if not isinstance(message, Mapping):
        return f"expected a mapping, found {type(message).__name__}"
    if set(message) != {"role", "content"}:
        return f"its keys are {list(message)}; they must be 'role' and 'content'"
    if message["role"] not in _ROLES:
        return f"role is {message['role']!r}; possible: {', '.join(_ROLES)}"
    content = message["content"]
    if not isinstance(content, str) or not content.strip():
        return f"the {message['role']}'s content is {'blank' if isinstance(content, str) else type(content).__name__}"
    try:
        content.encode("utf-8")
    except UnicodeEncodeError:
        return f"the {message['role']}'s content is not Unicode text: it holds half a surrogate pair"
    return None


def json_line(messages: Sequence[Mapping[str, str]]) -> str:
    """The messages as one line of JSON; raises ValueError if reading the line back does not give the same messages."""
    ordered = [{"role": message["role"], "content": message["content"]} for message in messages]
    line = one_line(json.dumps({"messages": ordered}, ensure_ascii=False))
    if "\n" in line or json.loads(line) != {"messages": ordered}:
        raise ValueError(f"the line does not read back as its messages: {line!r}")
    return line
