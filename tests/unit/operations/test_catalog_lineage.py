"""What comes from what, and where a picture of it has its boxes and lines."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations, pairwise

from featurestore import (
    DerivedFeature,
    Entity,
    Feature,
    FeatureGroup,
    Lookup,
    Source,
    SpineQuery,
    TrainingSetDefinition,
)
from featurestore.operations.catalog.lineage import Edge, Lineage, Node, lineage_of
from featurestore.operations.catalog.model import Catalog, GroupEntry, SavedVersion, TrainingSetEntry
from featurestore.reports.lineage_layout import HEIGHT, WIDTH, Layout, layout
from featurestore.reports.lineage_picture import lineage_picture
from tests.pages.catalog_examples import example_catalog

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def source(name: str) -> Node:
    return Node("source", name)


def group(name: str) -> Node:
    return Node("group", name)


def training_set(name: str) -> Node:
    return Node("training_set", name)


def entry(name: str, **sources: Source) -> GroupEntry:
    user = Entity("user", join_keys={"user_id": "string"})
    transformation = "SELECT 1" if sources else None
    definition = FeatureGroup(
        name, user, features=[Feature("a", "long")], sources=sources, transformation=transformation
    )
    return GroupEntry(definition, 1, NOW)


def saved(*groups: str) -> SavedVersion:
    return SavedVersion(1, NOW, 10, None, 1, groups, 0, 0, "c0ffee")


def catalog(groups: list[GroupEntry], sets: list[TrainingSetEntry]) -> Catalog:
    return Catalog("acme", NOW, "0.1.0", (), tuple(groups), tuple(sets))


def test_a_derived_feature_is_between_what_it_reads_and_what_reads_it() -> None:
    derived = (
        DerivedFeature("ratio", "double", inputs=["clean:a", "price"], sql="price / a"),
        DerivedFeature("is_dear", "boolean", inputs=["derived:ratio"], sql="ratio > 1"),
    )
    spine = SpineQuery(sources={"labels": Source(table="marts.labels", shared=True)}, transformation="SELECT 1")
    churn = TrainingSetDefinition("churn", ["derived:is_dear", "daily:a"], spine=spine, label="left")

    lineage = lineage_of(
        replace(catalog([entry("clean"), entry("daily")], [TrainingSetEntry("churn", churn)]), derived_features=derived)
    )

    ratio, is_dear = Node("derived", "ratio"), Node("derived", "is_dear")
    assert set(lineage.edges) == {
        (group("clean"), ratio),
        (ratio, is_dear),
        (is_dear, training_set("churn")),
        (group("daily"), training_set("churn")),
        (source("marts.labels"), training_set("churn")),
    }
    assert "2 feature groups, 2 derived features, 1 training set" in lineage_picture(lineage, {}, {}).alternative


def test_edges_join_sources_groups_and_training_sets_with_their_readers() -> None:
    spine = SpineQuery(
        sources={"labels": Source(table="marts.labels", tenant_column="owner"), "before": Source(group="clean")},
        transformation="SELECT 1",
    )
    definition = TrainingSetDefinition("churn", ["daily:a", Lookup("clean")], spine=spine, label="fate:a")
    landed = Source(path="s3a://user:secret@bucket/{tenant_id}/raw", format="parquet")

    lineage = lineage_of(
        catalog(
            [entry("clean", raw=landed), entry("daily", mine=Source(group="clean"), again=landed), entry("fate")],
            [TrainingSetEntry("churn", definition, (saved("fate", "old"),)), TrainingSetEntry("loose", None, (saved("daily"),))],
        )
    )  # fmt: skip

    bucket = source("s3a://bucket/{tenant_id}/raw")
    assert set(lineage.edges) == {
        (bucket, group("clean")),
        (bucket, group("daily")),
        (group("clean"), group("daily")),
        (source("marts.labels"), training_set("churn")),
        (group("clean"), training_set("churn")),
        (group("daily"), training_set("churn")),
        (group("fate"), training_set("churn")),
        (group("old"), training_set("churn")),
        (group("daily"), training_set("loose")),
    }


def test_a_group_that_nothing_reads_is_a_node_all_the_same() -> None:
    lineage = lineage_of(catalog([entry("alone")], []))

    assert (lineage.nodes, lineage.edges) == ((group("alone"),), ())


CHAIN = Lineage.of(
    [],
    [
        (source("s"), group("a")),
        (group("a"), group("b")),
        (group("b"), training_set("t")),
        (source("s"), group("other")),
        (group("other"), training_set("u")),
    ],
)


def test_a_node_is_surrounded_by_its_ancestors_and_descendants() -> None:
    around = CHAIN.around(group("a"))

    assert around.nodes == (group("a"), group("b"), source("s"), training_set("t"))
    assert around.edges == ((group("a"), group("b")), (group("b"), training_set("t")), (source("s"), group("a")))


def test_a_crowded_node_shows_only_its_neighbors() -> None:
    assert CHAIN.around(group("a"), most=3).nodes == (group("a"), group("b"), source("s"))


def test_columns_follow_the_reading_and_training_sets_come_last() -> None:
    edges = [
        (source("s"), group("a")),
        (group("a"), group("b")),
        (group("a"), training_set("early")),
        (group("b"), training_set("late")),
        (source("labels"), training_set("late")),
    ]

    placed = layout(Lineage.of([], edges))

    columns = sorted({box.x for box in placed.boxes})
    column = {box.node.name: columns.index(box.x) for box in placed.boxes}
    assert column == {"s": 0, "a": 1, "b": 2, "labels": 2, "early": 3, "late": 3}


def test_boxes_never_overlap_and_lines_cross_no_box() -> None:
    placed = layout(lineage_of(example_catalog(1_000)))

    assert len(placed.boxes) > 100
    for first, two in combinations(placed.boxes, 2):
        assert abs(first.x - two.x) >= WIDTH or abs(first.y - two.y) >= HEIGHT
    assert passed(placed) == []


def passed(placed: Layout) -> list[tuple[Edge, Node]]:
    """Boxes that the straight parts of lines go through."""
    return [
        (line.edge, box.node)
        for line in placed.lines
        for (_, (from_x, y)), ((to_x, _), _) in pairwise(line.stretches)
        for box in placed.boxes
        if box.x < to_x and from_x < box.x + WIDTH and box.y < y < box.y + HEIGHT
    ]


def test_lines_go_from_the_right_of_one_box_to_the_left_of_another() -> None:
    placed = layout(CHAIN)
    corner = {box.node: (box.x, box.y) for box in placed.boxes}

    for line in placed.lines:
        (read_x, read_y), (by_x, by_y) = corner[line.edge[0]], corner[line.edge[1]]
        assert line.stretches[0][0] == (read_x + WIDTH, read_y + HEIGHT / 2)
        assert line.stretches[-1][1] == (by_x, by_y + HEIGHT / 2)
        assert read_x < by_x
    assert len(placed.lines) == len(CHAIN.edges)


def test_crossings_that_can_be_avoided_are() -> None:
    """In the order of names all four lines would cross."""
    pairs = [("a", "z"), ("b", "y"), ("c", "x"), ("d", "w")]

    placed = layout(Lineage.of([], [(group(left), training_set(two)) for left, two in pairs] + [(source("s"), group("a")), (source("s"), group("d"))]))  # fmt: skip

    heights = {box.node.name: box.y for box in placed.boxes}
    order_read = sorted((left for left, _ in pairs), key=lambda name: heights[name])
    order_by = sorted((two for _, two in pairs), key=lambda name: heights[name])
    assert [dict(pairs)[name] for name in order_read if name in "ad"] == [name for name in order_by if name in "zw"]


def test_unconnected_parts_are_stacked_and_lone_groups_come_last() -> None:
    placed = layout(Lineage.of([group("lone_1"), group("lone_2")], [(source("a"), group("b")), (source("x"), group("y")), (group("y"), group("z"))]))  # fmt: skip

    down = {box.node.name: box.y for box in placed.boxes}
    assert max(down[name] for name in "xyz") + HEIGHT < down["b"]
    assert down["b"] + HEIGHT < down["lone_1"] == down["lone_2"]
    assert placed.height == down["lone_1"] + HEIGHT


def test_a_circle_is_drawn_all_the_same() -> None:
    circle = Lineage.of([], [(group("a"), group("b")), (group("b"), group("c")), (group("c"), group("a")), (group("a"), group("a"))])  # fmt: skip

    placed = layout(circle)

    assert len(placed.boxes) == len(placed.lines) == 3
    assert len({(box.x, box.y) for box in placed.boxes}) == 3


def test_an_empty_lineage_has_an_empty_picture() -> None:
    assert layout(Lineage((), ())) == Layout(0, 0, (), ())


def test_the_order_of_the_input_changes_nothing() -> None:
    lineage = lineage_of(example_catalog(300))
    edges = list(lineage.edges)
    random.Random(7).shuffle(edges)

    assert layout(Lineage.of([], edges)) == layout(replace(lineage))


def test_sources_have_short_names_as_long_as_they_differ() -> None:
    edges = [
        (source("{landing}/{tenant_id}/orders"), group("a")),
        (source("x/labels"), group("a")),
        (source("y/labels"), group("a")),
        (source("{warehouse}/" + "long" * 10), group("a")),
    ]

    picture = lineage_picture(Lineage.of([], edges), {group("a"): "groups/a.html"}, {}, None)

    names = {box.name for box in picture.boxes if box.node.kind == "source"}
    assert names == {"orders", "x/labels", "y/labels", "longlonglonglonglonglong…"}
    assert [box.link for box in picture.boxes if box.link] == ["groups/a.html"]


def test_a_picture_has_a_description() -> None:
    here = lineage_picture(CHAIN.around(group("a")), {}, {}, group("a"))
    whole = lineage_picture(CHAIN, {}, {})

    assert here.alternative == (
        "Lineage of a: it reads s, and is read by b. 1 source, 2 feature groups, 1 training set in all."
    )
    assert whole.alternative.startswith("Lineage of 1 source, 3 feature groups, 2 training sets, from left to right")
