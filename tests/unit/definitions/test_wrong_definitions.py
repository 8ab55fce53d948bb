"""Every field of every definition and setting, with wrong values: an error of this package, or a definition."""

from __future__ import annotations

from typing import Any

import pytest

import featurestore
from featurestore import Entity, Feature, Settings, Source
from featurestore.definitions.base import Definition
from featurestore.errors import DefinitionError
from tests.inputs.wrong_values import fault_of, wrong_values

USER = Entity("user", join_keys={"user_id": "string"})
ORDERS = Source(path="{landing}/{tenant_id}", format="parquet")
# A right call of each, without what has a default.
CALLS: dict[str, dict[str, Any]] = {
    "DerivedFeature": {"name": "speed", "type": "double", "inputs": ["km", "hours"], "sql": "km / hours"},
    "DriftThresholds": {},
    "Entity": {"name": "user", "join_keys": {"user_id": "string"}},
    "EntitySplit": {"test": 0.2},
    "Events": {"source": ORDERS},
    "Expectations": {},
    "Feature": {"name": "score", "type": "double"},
    "FeatureGroup": {"name": "stats", "entity": USER, "features": [Feature("score", "double")]},
    "InPlace": {"source": ORDERS, "event_timestamp": "at"},
    "Lookup": {"group": "stats"},
    "RandomSplit": {"test": 0.2},
    "Settings": {},
    "Source": {"path": "{landing}/{tenant_id}"},
    "SpineQuery": {"sources": {"orders": ORDERS}, "transformation": "SELECT user_id FROM orders"},
    "TimeSplit": {"test": 0.2},
    "TrainingSetDefinition": {
        "name": "churn",
        "features": ["stats:score"],
        "label": "left",
        "spine": {"sources": {"orders": ORDERS}, "transformation": "SELECT user_id FROM orders"},
    },
    "Transformation": {"sql": "SELECT 1"},
    "VectorIndex": {},
    "WindowAggregate": {"name": "orders_7d", "function": "count"},
}
DEFINITIONS = [
    kind
    for name in featurestore.__all__
    if isinstance(kind := getattr(featurestore, name), type) and (issubclass(kind, Definition) or kind is Settings)
]


@pytest.mark.parametrize("kind", DEFINITIONS, ids=lambda kind: kind.__name__)
def test_every_wrong_field_is_an_error_of_this_package(kind: Any) -> None:
    right = CALLS[kind.__name__]
    kind(**right)
    faults = []
    for name in [*kind.model_fields, "unknown"]:
        for value in wrong_values():
            fault = fault_of(lambda: kind(**{**right, name: value}))  # noqa: B023
            if fault is not None:
                faults.append(f"{kind.__name__}({name}={value!r:.60}): {fault}")

    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("kind", [kind for kind in DEFINITIONS if kind is not Settings], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", ["", "x", "[]", "{", "null", '{"unknown": 1}', None, 5, b"x"])
def test_what_is_no_json_of_a_definition_is_an_error_of_this_package(kind: Any, text: Any) -> None:
    with pytest.raises(DefinitionError, match=kind.__name__):
        kind.from_json(text)


def test_an_allowed_value_is_unicode_text() -> None:
    with pytest.raises(DefinitionError, match=r"Feature 'plan'.*'\\ud800' is not valid Unicode text"):
        Feature("plan", "string", allowed_values=["free", "\ud800"])
