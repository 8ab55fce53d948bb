"""Catalogues of any size, made without a store: groups of a shop, what they read, and numbers as a profile leaves them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from featurestore import Entity, Feature, FeatureGroup, Lookup, Source, SpineQuery, TimeWindow, TrainingSetDefinition
from featurestore.frames.statistics.feature_statistics import QUANTILES, Distribution, FeatureStatistics
from featurestore.operations.catalog.model import (
    Catalog,
    GroupEntry,
    GroupNumbers,
    SavedVersion,
    TrainingSetEntry,
)
from featurestore.stores.small_tables.runs import Run, State

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ENTITIES = tuple(
    Entity(name, join_keys={f"{name}_id": "string"}, description=description)
    for name, description in (
        ("customer", "Who buys, known by the account."),
        ("product", "What is sold."),
        ("store", "A place that sells."),
        ("courier", "Who brings it."),
    )
)
OWNERS = ("growth", "pricing", "logistics", "fraud & risk", "search")
SUBJECTS = ("orders", "visits", "returns", "prices", "clicks", "deliveries", "reviews", "payments", "stock", "profile")
MEASURES = (
    ("mean_amount", "double", "Mean amount in euros over the window"),
    ("count_24h", "long", "How many there were in the last 24 hours"),
    ("country", "string", "Where it happened, as an ISO code"),
    ("is_new", "boolean", "Whether this is the first one"),
    ("last_seen", "timestamp", "When there last was one"),
    ("text", "embedding(384)", "What was written about it, as a vector"),
    ("share_late", "float", "The share that came late, of 1"),
    ("labels", "array<string>", "Words that were put to it"),
    ("raw", "json", "As it was received"),
    ("days_since", "int", "Full days since the last one"),
)


def example_catalog(features: int, tenant: str | None = "acme", a_group: int = 10) -> Catalog:
    """So many features, ``a_group`` to a group; the first third of the groups reads sources, the others read groups, too."""
    names = [_group_name(index) for index in range(-(-features // a_group))]
    groups = tuple(_group(index, names, min(a_group, features - index * a_group)) for index in range(len(names)))
    return Catalog(
        tenant_id=tenant,
        built_at=NOW,
        code_version="0.1.0",
        entities=ENTITIES,
        groups=tuple(
            GroupEntry(
                group,
                revision=1 + index % 3,
                applied_at=NOW - timedelta(days=30 + index),
                older_versions=(1,) if group.version > 1 else (),
                numbers=None if tenant is None else _numbers(group, index),
            )
            for index, group in enumerate(groups)
        ),
        training_sets=tuple(_training_set(index, groups, tenant is not None) for index in range(1 + len(groups) // 6)),
    )


def _group_name(index: int) -> str:
    entity, subject = ENTITIES[index % len(ENTITIES)], SUBJECTS[index % len(SUBJECTS)]
    again = index // (2 * len(SUBJECTS))
    return f"{entity.name}_{subject}" + (f"_{again + 1}" if again else "")


def _group(index: int, names: list[str], features: int) -> FeatureGroup:
    subject = SUBJECTS[index % len(SUBJECTS)]
    sources = {subject: Source(path=f"{{landing}}/{{tenant_id}}/{subject}_{index // 20}", format="parquet")}
    if index >= max(2, len(names) // 3):
        sources["before"] = Source(group=names[index // 2])
    if index % 7 == 3:
        sources["calendar"] = Source(table="reference.calendar", shared=True)
    return FeatureGroup(
        names[index],
        ENTITIES[index % len(ENTITIES)],
        features=[_feature(number) for number in range(features)],
        version=1 + index % 2,
        description=f"What {ENTITIES[index % len(ENTITIES)].name}s did: {subject} of the last days, brought up to date every hour.",
        owner=OWNERS[index % len(OWNERS)],
        tags=("hourly", subject),
        ttl=timedelta(days=1 + index % 7),
        sources=sources,
        transformation=f"SELECT *, :end_time AS event_timestamp FROM {subject} WHERE at >= :start_time AND at < :end_time",
    )


def _feature(number: int) -> Feature:
    name, kind, description = MEASURES[number % len(MEASURES)]
    again = number // len(MEASURES)
    return Feature(
        name + (f"_{again + 1}" if again else ""),
        kind,
        description=description,
        min=0 if kind in ("double", "long") else None,
        not_null=number % 4 == 1,
    )


def _numbers(group: FeatureGroup, index: int) -> GroupNumbers:
    rows = 1_000 * (index + 1)
    newest = NOW - timedelta(hours=5 + 9 * index % 120)
    return GroupNumbers(
        rows=rows,
        oldest=NOW - timedelta(days=200),
        newest=newest,
        bytes=rows * 480,
        last_write=newest + timedelta(minutes=20),
        profiled_at=NOW - timedelta(hours=4),
        statistics=tuple(_statistics(feature, rows, number) for number, feature in enumerate(group.features)),
        rows_by_date=tuple(
            (date(2026, 8, 22) + timedelta(days=day), 300 + (day * 37 + index * 11) % 90 + 3 * day) for day in range(90)
        ),
        runs=(
            _run(
                group,
                "materialize",
                "failed" if index % 9 == 4 else "succeeded",
                newest + timedelta(minutes=21),
                TimeWindow(newest - timedelta(hours=1), newest),
                rows // 100,
            ),
            _run(group, "profile", "succeeded", NOW - timedelta(hours=4), None, None),
        ),
    )


def _run(
    group: FeatureGroup,
    job: str,
    state: State,
    recorded_at: datetime,
    window: TimeWindow | None,
    rows_written: int | None,
) -> Run:
    return Run(
        tenant_id="acme",
        run_id=f"{job} of {group.name}",
        job=job,
        feature_group=group.name,
        group_version=group.version,
        window=window,
        attempt=1,
        code_version="1.0.0",
        state=state,
        rows_written=rows_written,
        recorded_at=recorded_at,
    )


def _statistics(feature: Feature, rows: int, number: int) -> FeatureStatistics:
    """A skewed spread, more so from feature to feature."""
    measure = {"boolean": "truth", "string": "length", "array<string>": "length", "json": "none"}.get(
        feature.type, "value"
    )
    measure = {"timestamp": "microseconds", "embedding(384)": "norm"}.get(feature.type, measure)
    # Of timestamps: over the last fifty days.
    scale, start = (4_320_000_000_000.0, NOW.timestamp() * 1e6 - 4.32e12) if measure == "microseconds" else (120.0, 0.0)
    grid = tuple(start + scale * (step / 200) ** (1 + number % 5) for step in range(201))
    spread = None if measure == "none" else Distribution(rows, grid)
    nulls = 0 if feature.not_null else rows * (number % 6) // 17
    values = rows - nulls
    tops = {"boolean": (("true", 7 * values // 10), ("false", values - 7 * values // 10)),
            "string": (("DE", values // 2), ("FR", values // 4), ("AT", values // 10))}  # fmt: skip
    return FeatureStatistics(
        feature=feature.name,
        type=feature.type,
        measure=measure,
        rows=rows,
        nulls=nulls,
        distinct=None
        if measure == "none"
        else 2
        if feature.type == "boolean"
        else 12
        if feature.type == "string"
        else rows // 3,
        minimum=None if spread is None else grid[0],
        maximum=None if spread is None else grid[-1],
        mean=None if spread is None else sum(grid) / len(grid),
        stddev=None if spread is None else scale / 3,
        quantiles={} if spread is None else {share: spread.quantile(share) for share in QUANTILES},
        top=tops.get(feature.type, ()),
        distribution=spread,
    )


def _training_set(index: int, groups: tuple[FeatureGroup, ...], saved: bool) -> TrainingSetEntry:
    read = [groups[(index * 5 + step * 3) % len(groups)] for step in range(min(3, len(groups)))]
    read = list({group.name: group for group in read}.values())
    name = ("churn", "late_delivery", "next_purchase", "fraud", "ranking")[index % 5] + (
        f"_{index // 5}" if index > 4 else ""
    )
    definition = TrainingSetDefinition(
        name,
        [Lookup(group.name, group.feature_names[:4], prefix=f"g{number}_") for number, group in enumerate(read)],
        spine=SpineQuery(
            sources={"labels": Source(path=f"{{landing}}/{{tenant_id}}/labels_{name}", format="parquet")},
            transformation="SELECT * FROM labels",
        ),
        label="label",
        description=f"Examples of {name.replace('_', ' ')}, one a customer and day.",
        split={"test": 0.2},
    )  # fmt: skip
    versions = tuple(
        SavedVersion(
            version=number,
            created_at=NOW - timedelta(days=40 - 10 * number),
            rows=120_000 * number,
            label="label",
            features=4 * len(read),
            groups=tuple(sorted(group.name for group in read)),
            errors=int(number == 1),
            warnings=2 - number % 2,
            content_hash=f"{number * 7919 + index:064x}"[::-1],
        )
        for number in (1, 2, 3)
    )
    return TrainingSetEntry(name, definition, versions if saved else ())
