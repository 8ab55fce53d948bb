"""Prompt templates: Jinja2 in a sandbox, checked before any row is rendered."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from featurestore.errors import TransformationError, nearest

_REACHES_FOR_OTHERS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


def value_text(value: object) -> str:
    """A value as text for people: null, true, false, ISO 8601 times (UTC with ``Z``), JSON for lists and mappings."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list | tuple | dict):
        return json_text(value)
    return str(value)


def json_text(value: object, indent: int | None = None) -> str:
    """JSON with all characters as they are; what JSON has no kind for is written as ``value_text`` has it."""
    return json.dumps(value, ensure_ascii=False, default=value_text, indent=indent)


def prompt_environment() -> ImmutableSandboxedEnvironment:
    """No attribute that begins with an underscore, no change of a value, no other file, nothing by chance.

    ``tojson`` writes text as it is, where Jinja2's own makes it fit for HTML.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    environment.filters["tojson"] = json_text
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def compile_template(text: str) -> Template:
    return prompt_environment().from_string(text)


def check_template(what: str, text: str, columns: Collection[str], answer: str) -> frozenset[str]:
    """The columns that a template uses; ``what`` names it in errors, ``answer`` is the column that it may not see.

    Raises TransformationError for what can be told before rows are rendered: a text that is no template, a name that is
    no column (with the nearest), a reach out of the sandbox.
    """
    try:
        tree = prompt_environment().parse(text)
        compile_template(text)
    except TemplateSyntaxError as error:
        raise TransformationError(f"{what}, line {error.lineno}: {error.message}; see Jinja2's syntax") from error
    for reason in _reaches_out(tree):
        raise TransformationError(f"{what}: {reason}; a template sees the row's columns and nothing else")
    used = frozenset(meta.find_undeclared_variables(tree))
    if answer in used:
        raise TransformationError(f"{what}: {answer!r} is the output, which the prompt may not tell; leave it out")
    unknown = sorted(used - set(columns))
    if unknown:
        named = "; ".join(f"{name!r} is not a column of the rows. {nearest(name, columns)}" for name in unknown)
        raise TransformationError(f"{what}: {named}")
    return used


def _reaches_out(tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(_REACHES_FOR_OTHERS):
        yield f"line {node.lineno} names another template"
    for name, line in _attributes(tree):
        if isinstance(name, str) and name.startswith("_"):
            yield f"line {line} asks for {name!r}, which the sandbox refuses"


def _attributes(tree: nodes.Template) -> Iterator[tuple[Any, int]]:
    for read in tree.find_all(nodes.Getattr):
        yield read.attr, read.lineno
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const):
            yield item.arg.value, item.lineno
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name == "attr" and filtered.args and isinstance(filtered.args[0], nodes.Const):
            yield filtered.args[0].value, filtered.lineno


def inputs_text(row: dict[str, Any], inputs: Sequence[str]) -> str:
    """The prompt where there is no template: a line an input, ``name: value``."""
    return "\n".join(f"{name}: {value_text(row[name])}" for name in inputs)
