"""The form of tenant ids, definitions' names and feature references."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from featurestore.errors import InvalidNameError

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

# The group of references to derived features, as in ``derived:distance_km``.
DERIVED = "derived"
RESERVED_COLUMNS = frozenset({"tenant_id", "event_date", "event_timestamp", "created_timestamp"})


def check_tenant_id(tenant_id: object) -> str:
    """Return ``tenant_id`` if it matches ``[a-z0-9][a-z0-9_-]{0,62}``.

    Raises InvalidNameError otherwise, before the value is used in a path or a query.
    """
    if isinstance(tenant_id, str) and _TENANT.fullmatch(tenant_id):
        return tenant_id
    raise InvalidNameError(
        f"tenant id {tenant_id!r} is refused: use 1 to 63 of a-z, 0-9, '_' and '-', starting with a letter or a digit"
    )


def check_name(name: object) -> str:
    """Return ``name`` if it matches ``[a-z][a-z0-9_]{0,62}``; raises InvalidNameError otherwise."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidNameError(f"name {name!r} is refused: use 1 to 63 of a-z, 0-9 and '_', starting with a letter")


def _pydantic_name(name: str) -> str:
    try:
        return check_name(name)
    except InvalidNameError as error:
        raise ValueError(str(error)) from error


Name = Annotated[str, AfterValidator(_pydantic_name)]


def _no_reserved_group(name: str) -> str:
    if name == DERIVED:
        raise ValueError(f"{name!r} is reserved: {name}:x is the derived feature x; give the group another name")
    return name


GroupName = Annotated[Name, AfterValidator(_no_reserved_group)]


def parse_reference(reference: object) -> tuple[str, str]:
    """Split a feature reference ``group:feature`` into its two names; raises InvalidNameError."""
    if isinstance(reference, str) and reference.count(":") == 1:
        group, feature = reference.split(":")
        return check_name(group), check_name(feature)
    raise InvalidNameError(
        f"feature reference {reference!r} is refused: write it 'group:feature', as in 'airport_weather:temp'"
    )


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can encode the text; it cannot encode half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
