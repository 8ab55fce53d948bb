"""Groups of events: what may be declared, what is refused, and what is read back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import Entity, Events, Feature, FeatureGroup, Source, WindowAggregate
from featurestore.definitions.feature_group import describe_groups
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.errors import DefinitionError

USER = Entity("user", join_keys={"user_id": "string"})
PAYMENTS = Events(
    Source(path="{landing}/{tenant_id}/payments", format="parquet"),
    event_timestamp="paid_at",
    created_timestamp="loaded_at",
    event_id="payment_id",
    columns={"user_id": "payer"},
)
SPEND = WindowAggregate("spend_7d", "sum", of="amount", window="7d")
YAML = """
entities:
  - {name: user, join_keys: {user_id: string}}
feature_groups:
  - name: spending
    entity: user
    events:
      source: {path: "{landing}/{tenant_id}/payments", format: parquet}
      event_timestamp: paid_at
      created_timestamp: loaded_at
      event_id: payment_id
      columns: {user_id: payer}
    features:
      - {name: spend_7d, function: sum, of: amount, window: 7d}
      - {name: payments, function: count}
      - {name: large, function: last_n(3), of: amount, window: 90d, where: amount > 100}
"""


def spending(**settings: Any) -> FeatureGroup:
    return FeatureGroup(**({"name": "spending", "entity": USER, "features": [SPEND], "events": PAYMENTS} | settings))


@pytest.mark.parametrize(
    ("aggregate", "type_of_result"),
    [
        (WindowAggregate("a", "sum", of="x", window="1h"), "double"),
        (WindowAggregate("a", "sum", of="x", window="1h", type="long"), "long"),
        (WindowAggregate("a", "count"), "long"),
        (WindowAggregate("a", "count_distinct", of="x"), "long"),
        (WindowAggregate("a", "last", of="x", type="string"), "string"),
        (WindowAggregate("a", "last_n(5)", of="x"), "array<double>"),
        (WindowAggregate("a", "approx_percentile(.5)", of="x"), "double"),
    ],
)
def test_the_function_decides_the_type_unless_it_is_given(aggregate: WindowAggregate, type_of_result: str) -> None:
    assert aggregate.type == type_of_result


def test_yaml_json_and_python_declare_the_same_group(tmp_path: Path) -> None:
    (tmp_path / "users.yml").write_text(YAML)
    in_python = spending(
        features=[
            SPEND,
            WindowAggregate("payments", "count", window=None),
            WindowAggregate("large", "last_n(3)", of="amount", window=timedelta(days=90), where="amount > 100"),
        ]
    )

    [in_yaml] = load_definitions(tmp_path).feature_groups

    assert in_yaml == in_python
    assert FeatureGroup.from_json(in_python.to_json()) == in_python


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"function": "summ", "of": "x"}, r"features\.0\.function: 'summ' is not a function.*Did you mean 'sum'"),
        ({"function": "sum"}, r"sum needs the column of the events"),
        (
            {"function": "sum", "of": "x", "window": "0h"},
            r"features\.0\.window: duration '0h' must be longer than zero",
        ),
        ({"function": "sum", "of": "x", "window": "-1h"}, r"features\.0\.window: duration '-1h' cannot be read"),
        ({"function": "sum", "of": "x", "type": "string"}, r"sum cannot give string; possible types: double, long"),
        ({"function": "avg", "of": "x", "type": "long"}, r"avg cannot give long; possible types: double"),
        ({"function": "sum(2)", "of": "x"}, r"sum takes no number"),
        ({"function": "last_n", "of": "x"}, r"write how many values, from 1 to 1000"),
        ({"function": "last_n(0)", "of": "x"}, r"write how many values, from 1 to 1000"),
        ({"function": "approx_percentile(1.5)", "of": "x"}, r"write a share from 0 to 1"),
        ({"function": "sum", "of": "x", "min": 0}, r"\['min'\] are rules of values that are written"),
        ({"function": "sum", "of": "x", "windw": "7d"}, r"features\.0\.windw: unknown key"),
    ],
)
def test_a_wrong_aggregate_is_refused_by_its_field(feature: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        spending(features=[{"name": "a", **feature}])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"events": None}, r"features \['spend_7d'\] aggregate events; say where these are"),
        ({"features": [SPEND, Feature("age", "int")]}, r"features \['age'\] are not aggregates of the group's events"),
        ({"ttl": "7d"}, r"computes its values by its windows; remove \['ttl'\]"),
        ({"nulls": "skip"}, r"write 'keep', or leave it out"),
        ({"retention": "30d"}, r"no value of a group of events is stored; remove \['retention'\]"),
        ({"events": None, "features": [Feature("age", "int")], "every": "1h"}, r"'every' is the schedule of windowed"),
        ({"features": [SPEND, SPEND]}, r"columns \['spend_7d'\] are named twice"),
    ],
)
def test_a_setting_that_contradicts_events_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        spending(**settings)


def test_what_is_stored_on_a_schedule_may_have_a_retention() -> None:
    group = spending(every="1h", retention="30d")

    assert not group.is_computed
    assert group.is_materialized


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"source": Source(path="{tenant_id}", format="csv")}, r"events are read from delta or parquet.*is csv"),
        ({"source": Source(group="payments"), "event_id": "id"}, r"of its own; remove \['event_id'\]"),
        ({"source": Source(group="payments"), "event_timestamp": "at"}, r"of its own; remove \['event_timestamp'\]"),
    ],
)
def test_a_source_of_events_that_cannot_be_read_is_refused(events: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        Events(**events)


def test_a_group_that_stores_nothing_is_shown_without_settings_of_storage() -> None:
    facts = dict(spending().display().facts)

    assert facts["sources"] == "events of {landing}/{tenant_id}/payments"
    assert not {"partition by", "retention", "every"} & facts.keys()
    assert dict(spending(every="1h").display().facts)["every"] == "1h"
    [listed] = describe_groups([spending()]).tables[0].rows
    assert listed[7] == "computed"
