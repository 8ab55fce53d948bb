"""What a group in place may declare, and what each fault is told as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featurestore import Entity, Feature, FeatureGroup, InPlace, Source
from featurestore.definitions.sets.collection import Definitions
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.errors import DefinitionError, IncompatibleChangeError
from featurestore.operations.catalog.lineage import source_node
from featurestore.operations.definitions.plan import make_plan
from featurestore.stores.small_tables.registry import Entry, RegistryState

USER = Entity("user", join_keys={"user_id": "string"})
SCORE = Feature("score", "double")
SOURCE = Source(path="/lake/{tenant_id}/users", format="parquet")
IN_PLACE = InPlace(
    SOURCE, event_timestamp="at", created_timestamp="Loaded At", columns={"user_id": "uid", "score": "s"}
)


def group(in_place: Any = IN_PLACE, features: Any = (SCORE,), **given: Any) -> FeatureGroup:
    return FeatureGroup("stats", USER, features=features, in_place=in_place, **given)


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (lambda: InPlace(Source(group="other"), event_timestamp="at"), "source is the group 'other', whose values are"),
        (
            lambda: InPlace(Source(path="a", format="csv", shared=True), event_timestamp="at"),
            "format 'csv'; a table in place is delta or parquet",
        ),
        (
            lambda: InPlace(Source(path="a", shared=True, options={"x": "y"}), event_timestamp="at"),
            r"source has options \['x'\]",
        ),
        (lambda: InPlace(SOURCE), "event_timestamp: missing"),
        (lambda: InPlace(SOURCE, event_timestamp=""), "event_timestamp: String should have at least 1 character"),
        (lambda: InPlace(SOURCE, event_timestamp=7), "event_timestamp: Input should be a valid string"),
        (lambda: InPlace(SOURCE, event_timestamp="at", created_timestamp=True), "created_timestamp: True is a boolean"),
        (lambda: InPlace("path", event_timestamp="at"), "source: Input should be"),
        (lambda: InPlace(SOURCE, event_timestamp="at", columns=["uid"]), "columns: Input should be a valid dictionary"),
        (
            lambda: InPlace(SOURCE, event_timestamp="at", columns={"a": ""}),
            r"columns\.a: String should have at least 1",
        ),
        (lambda: InPlace(SOURCE, event_timestamp="at", colums={}), "colums: unknown key"),
        (lambda: group("table"), "in_place: Input should be"),
        (
            lambda: group({"source": {"path": "a"}, "event_timestamp": "at"}),
            r"in_place\.source: limit it to one tenant",
        ),
        (
            lambda: group(InPlace(SOURCE, event_timestamp="at", columns={"user": "uid"})),
            r"in_place\.columns names 'user', which is not a join key or feature of the group. Did you mean 'user_id'",
        ),
        (lambda: group(retention="7d"), r"\['retention'\] are for groups whose values this store writes"),
        (lambda: group(keep_latest=True), r"\['keep_latest'\] are for groups"),
        (lambda: group(partition_by="month"), r"\['partition_by'\] are for groups"),
        (lambda: group(expect={"min_rows": 1}), r"\['expect'\] are for groups"),
        (
            lambda: group(sources={"t": Source(path="t", shared=True)}, transformation="SELECT * FROM t"),
            r"\['sources', 'transformation'\] are for groups whose values this store writes",
        ),
        (
            lambda: group(InPlace(SOURCE, event_timestamp="at"), [Feature("e", "embedding(2)", index={})]),
            "feature 'e': index is for embeddings that are synced",
        ),
    ],
)
def test_a_fault_names_the_field_and_what_is_possible(define: Callable[[], Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        define()


def test_json_and_yaml_give_the_same_definition(tmp_path: Path) -> None:
    (tmp_path / "g.yml").write_text(
        """
entities:
  - {name: user, join_keys: {user_id: string}}
feature_groups:
  - name: stats
    entity: user
    features: [{name: score, type: double}]
    in_place:
      source: {path: "/lake/{tenant_id}/users", format: parquet}
      event_timestamp: at
      created_timestamp: Loaded At
      columns: {user_id: uid, score: s}
"""
    )

    [from_yaml] = load_definitions(tmp_path).feature_groups

    assert from_yaml == group()
    assert FeatureGroup.from_json(group().to_json()) == group()
    assert '"in_place":{"source":' in group().to_json()
    assert "in_place" not in FeatureGroup("stats", USER, features=[SCORE]).to_json()


def test_it_shows_where_the_values_are() -> None:
    facts = dict(group().display().facts)

    assert facts["in place"] == "parquet /lake/{tenant_id}/users"
    assert facts["event timestamp"] == "at"
    assert facts["columns"] == "user_id is uid, score is s"
    assert not {"partition by", "retention", "sources"} & facts.keys()
    assert [source_node(source).name for source in group().all_sources] == ["/lake/{tenant_id}/users"]


@pytest.mark.parametrize(
    ("before", "after", "words"), [(None, IN_PLACE, "stored and would be in place"), (IN_PLACE, None, "in place and")]
)
def test_a_group_changes_between_stored_and_in_place_only_with_its_version(before: Any, after: Any, words: str) -> None:
    entries = (
        Entry("entity", "user", 1, 1, USER.to_json()),
        Entry("feature_group", "stats", 1, 1, group(before).to_json()),
    )
    state = RegistryState({entry.key: entry for entry in entries})

    with pytest.raises(IncompatibleChangeError, match=rf"'stats': its values are {words}.*; raise its version to 2"):
        make_plan(Definitions.of([group(after)]), state)
    assert make_plan(Definitions.of([group(after, version=2)]), state).has_changes
    moved = InPlace(SOURCE, event_timestamp="at")
    assert before is None or make_plan(Definitions.of([group(moved)]), state).changes[1].action == "update"
