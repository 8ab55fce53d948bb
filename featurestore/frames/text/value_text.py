"""Values as text for people and for prompts."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any


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
    """JSON with all characters as they are; values without a JSON type become the text of ``value_text``."""
    return json.dumps(value, ensure_ascii=False, default=value_text, indent=indent)


def inputs_text(row: dict[str, Any], inputs: Sequence[str]) -> str:
    """The prompt without a template: one line ``name: value`` per input."""
    return "\n".join(f"{name}: {value_text(row[name])}" for name in inputs)
