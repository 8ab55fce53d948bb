"""A feature group: features of one entity that are written together, in one Delta table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from featurestore.arguments import checked
from featurestore.definitions.base import Definition
from featurestore.definitions.entity import Entity
from featurestore.definitions.events import Events
from featurestore.definitions.feature import Feature
from featurestore.definitions.in_place import InPlace
from featurestore.definitions.names import GroupName, Name
from featurestore.definitions.source import Source
from featurestore.definitions.transformation import Transformation
from featurestore.definitions.values.durations import Duration, format_duration
from featurestore.definitions.vector_index import FILTER_TYPES
from featurestore.definitions.window_aggregate import WindowAggregate, feature_of
from featurestore.display.description import Display, Table
from featurestore.display.displayed import Displayed
from featurestore.errors import NotFoundError, nearest

Share = Annotated[float, Field(ge=0, lt=1)]


class Expectations(Definition):
    """What every run that materializes a group must meet; checked on its valid rows before they are published.

    - ``min_rows``: the least number of rows;
    - ``max_age``: the newest event timestamp is at most this long before the window's end;
    - ``max_null_share``: at most this share of each named feature, or of every feature, is null;
    - ``max_failed_share``: at most this share of all rows broke a rule;
    - ``on_breach``: ``warn`` publishes the rows anyway, ``reject`` keeps them as rejected rows. Either way the run ends
      with an exit code of its own.
    """

    min_rows: int | None = Field(default=None, ge=1)
    max_age: Duration | None = None
    max_null_share: Share | dict[Name, Share] | None = None
    max_failed_share: Share | None = None
    on_breach: Literal["warn", "reject"] = "warn"


class DriftThresholds(Definition):
    """Thresholds: a difference between two periods of a feature is drift above one, a warning above half of one.

    - ``psi``: the population stability index;
    - ``jensen_shannon``: the Jensen-Shannon divergence in bits, from 0 to 1;
    - ``kolmogorov_smirnov``: the greatest distance between the two cumulative distributions, from 0 to 1;
    - ``null_share``: the change of the share of nulls, up or down, from 0 to 1.

    The last three measures never exceed 1, so a threshold of 1 switches them off.
    """

    psi: float = Field(default=0.2, gt=0)
    jensen_shannon: float = Field(default=0.05, gt=0, le=1)
    kolmogorov_smirnov: float = Field(default=0.2, gt=0, le=1)
    null_share: float = Field(default=0.1, gt=0, le=1)


USUAL_DRIFT = DriftThresholds()
# What says how the store writes values, keeps them and lays them out.
_OF_STORED = ("sources", "transformation", "retention", "keep_latest", "expect", "partition_by")


class FeatureGroup(Displayed, Definition):
    """``FeatureGroup("user_stats", user, features=[Feature("score", "double")], ttl=timedelta(days=7))``.

    - ``ttl``: how long a value stays valid after its event timestamp, the end included; None means forever.
    - ``nulls``: ``skip``, each feature takes its own latest non-null value; ``keep``, the latest row wins as a whole.
    - ``partition_by``: ``day`` or ``month`` of the event timestamp in UTC; ``month`` where days are tiny.
    - ``retention``: how long rows are kept; None means forever. ``keep_latest`` keeps each entity's last row anyway.
    - ``expect``: what every run that materializes the group must meet.
    - ``drift``: the thresholds above which a difference between two periods of a feature is drift.
    - ``version``: the major version; each version has its own table.
    - ``sources`` and ``transformation``: what ``materialize`` reads and runs.
    - ``events``: what the group's windowed features (``WindowAggregate``) aggregate, for each example at its own time.
    - ``every``: store the windowed features instead: ``materialize`` computes them at each multiple of this duration
      since 1970, and reads take what is stored.
    - ``in_place``: the values are the rows of a table of the user's own, and nothing is stored here.
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "entity")

    name: GroupName
    entity: Entity
    features: tuple[Annotated[SerializeAsAny[Feature], BeforeValidator(feature_of)], ...] = Field(min_length=1)
    version: int = Field(default=1, ge=1, le=9999)
    description: str = ""
    owner: str = ""
    tags: tuple[str, ...] = ()
    ttl: Duration | None = None
    nulls: Literal["skip", "keep"] = "skip"
    partition_by: Literal["day", "month"] = "day"
    retention: Duration | None = None
    keep_latest: bool = False
    expect: Expectations | None = None
    drift: DriftThresholds = USUAL_DRIFT
    sources: dict[Name, Source] = {}
    transformation: Annotated[Transformation | None, BeforeValidator(Transformation.of)] = None
    events: Events | None = None
    every: Duration | None = None
    in_place: InPlace | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            name: str,
            entity: Entity,
            *,
            features: Sequence[Feature],
            version: int = 1,
            description: str = "",
            owner: str = "",
            tags: Sequence[str] = (),
            ttl: timedelta | str | None = None,
            nulls: Literal["skip", "keep"] = "skip",
            partition_by: Literal["day", "month"] = "day",
            retention: timedelta | str | None = None,
            keep_latest: bool = False,
            expect: Expectations | Mapping[str, Any] | None = None,
            drift: DriftThresholds | Mapping[str, float] = USUAL_DRIFT,
            sources: Mapping[str, Source] = {},
            transformation: Transformation | str | Callable[..., Any] | None = None,
            events: Events | None = None,
            every: timedelta | str | None = None,
            in_place: InPlace | Mapping[str, Any] | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _nulls_of_windows_are_values(cls, fields: Any) -> Any:
        """The fields with ``nulls: keep`` for a group of events: a window without an event has null as its value."""
        if isinstance(fields, Mapping) and fields.get("events") is not None:
            return {"nulls": "keep", **fields}
        return fields

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        columns = self.entity.keys + [feature.name for feature in self.features]
        doubled = sorted({column for column in columns if columns.count(column) > 1})
        if doubled:
            raise ValueError(f"columns {doubled} are named twice among the join keys and features")
        shares = self.expect.max_null_share if self.expect is not None else None
        unknown = sorted(set(shares) - set(self.feature_names)) if isinstance(shares, dict) else []
        if unknown:
            raise ValueError(f"expect.max_null_share names {unknown}, which are not features of the group")
        if self.sources and self.transformation is None:
            raise ValueError("'sources' are declared, but no 'transformation' reads them")
        return self

    @model_validator(mode="after")
    def _windows_have_events(self) -> Self:
        windowed = [feature.name for feature in self.features if isinstance(feature, WindowAggregate)]
        if self.events is None:
            if windowed:
                raise ValueError(f"features {windowed} aggregate events; say where these are with events=Events(...)")
            if self.every is not None:
                raise ValueError("'every' is the schedule of windowed features, and the group has no events; remove it")
            return self
        stored = [name for name in self.feature_names if name not in windowed]
        if stored:
            raise ValueError(
                f"features {stored} are not aggregates of the group's events; give them a function, or a group of "
                "their own"
            )
        _refuse(self, ("sources", "transformation", "ttl"), "a group of events computes its values by its windows")
        if self.nulls != "keep":
            raise ValueError("nulls: a window without an event has null as its value; write 'keep', or leave it out")
        if self.every is None:
            settings = ("retention", "keep_latest", "expect", "partition_by")
            _refuse(self, settings, "without 'every', no value of a group of events is stored")
        return self

    @model_validator(mode="after")
    def _filters_are_scalar_features(self) -> Self:
        types = {feature.name: feature.type for feature in self.features}
        for feature in self.features:
            for name in feature.index.filters if feature.index is not None else ():
                where = f"feature {feature.name!r}: index.filters names {name!r}, which"
                if name in self.entity.join_keys:
                    raise ValueError(f"{where} is a join key; searches filter by these anyway, leave it out")
                if name not in types:
                    raise ValueError(f"{where} is not a feature of the group. {nearest(name, types)}")
                if types[name] not in FILTER_TYPES:
                    raise ValueError(f"{where} is {types[name]}; possible types: {', '.join(FILTER_TYPES)}")
        return self

    @model_validator(mode="after")
    def _in_place_only_reads(self) -> Self:
        if self.in_place is None:
            return self
        unwanted = [name for name in _OF_STORED if getattr(self, name) != type(self).model_fields[name].default]
        if unwanted:
            raise ValueError(
                f"{unwanted} are for groups whose values this store writes, and in_place says that they are another "
                "table's; remove these, or in_place"
            )
        models = [feature.model_version_column for feature in self.features if feature.model_version_column is not None]
        known = [*self.join_keys, *self.feature_names, *models]
        for name in self.in_place.columns:
            if name not in known:
                raise ValueError(
                    f"in_place.columns names {name!r}, which is not a join key or feature of the group. "
                    f"{nearest(name, known)}"
                )
        for feature in self.features:
            if feature.index is not None:
                raise ValueError(
                    f"feature {feature.name!r}: index is for embeddings that are synced to PostgreSQL, and those of a "
                    "group in place are not; remove it"
                )
        return self

    @property
    def join_keys(self) -> list[str]:
        return self.entity.keys

    @property
    def upstream(self) -> list[str]:
        """The groups that its transformation reads, or that have its events."""
        return sorted({source.group for source in self.all_sources if source.group is not None})

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """What its values come from: what its transformation reads, where its events are, or the table in place."""
        events = [] if self.events is None else [self.events.source]
        return (*self.sources.values(), *events, *([] if self.in_place is None else [self.in_place.source]))

    @property
    def aggregates(self) -> tuple[WindowAggregate, ...]:
        """Its windowed features."""
        return tuple(feature for feature in self.features if isinstance(feature, WindowAggregate))

    @property
    def is_computed(self) -> bool:
        """Whether its values are computed from events for each example, and none are stored."""
        return self.events is not None and self.every is None

    @property
    def is_materialized(self) -> bool:
        """Whether ``materialize`` writes its values."""
        return self.transformation is not None or self.every is not None

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @checked
    def feature(self, name: str) -> Feature:
        """The feature of that name; raises NotFoundError with the nearest names."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise NotFoundError(f"feature {name!r} is not in group {self.name!r}. {nearest(name, self.feature_names)}")

    def display(self) -> Display:
        """The group's entity and settings, and its features with their rules."""
        facts = {
            "entity": self.entity.name,
            "keys": ", ".join(f"{name} {kind}" for name, kind in self.entity.join_keys.items()),
            "ttl": _duration_text(self.ttl),
            "nulls": self.nulls,
            "partition by": self.partition_by,
            "retention": _duration_text(self.retention) + (", but each entity's last row" if self.keep_latest else ""),
            "sources": self._sources_text(),
            "every": "" if self.every is None else format_duration(self.every),
            **self._in_place_facts(),
            **({"partition by": "", "retention": ""} if self.is_computed else {}),
            "owner": self.owner,
            "tags": ", ".join(self.tags),
        }
        features = [
            (feature.name, feature.type, "\n".join(feature.rules), feature.description) for feature in self.features
        ]
        return Display(
            title=f"Feature group {self.name} v{self.version}",
            lines=(self.description,) if self.description else (),
            facts=tuple((name, fact) for name, fact in facts.items() if fact),
            tables=(Table(("feature", "type", "rules", "description"), tuple(features)),),
        )

    def _sources_text(self) -> str:
        if self.events is not None:
            source = self.events.source
            return f"events of {source.path or source.table or source.group}"
        return ", ".join(self.sources) or "none: rows are written"

    def _in_place_facts(self) -> dict[str, str]:
        """What takes the place of facts about stored rows."""
        if self.in_place is None:
            return {}
        source, created = self.in_place.source, self.in_place.created_timestamp
        return {
            "partition by": "",
            "retention": "",
            "sources": "",
            "in place": f"{source.format} {source.path}" if source.table is None else f"table {source.table}",
            "event timestamp": self.in_place.event_timestamp,
            "created timestamp": created or "none: created at the event timestamp",
            "columns": ", ".join(f"{name} is {column}" for name, column in self.in_place.columns.items()),
        }

    def __repr__(self) -> str:
        return f"FeatureGroup({self.name!r}, version={self.version}, features={self.feature_names})"


def describe_groups(groups: Sequence[FeatureGroup]) -> Display:
    """One line per group."""
    if not groups:
        return Display("There are no feature groups yet; write definitions and apply them.")
    columns = ("group", "version", "entity", "keys", "features", "ttl", "nulls", "partition by", "owner")
    rows = [
        (
            group.name,
            group.version,
            group.entity.name,
            ", ".join(group.join_keys),
            ", ".join(group.feature_names),
            _duration_text(group.ttl),
            group.nulls,
            _storage_text(group),
            group.owner,
        )
        for group in groups
    ]
    return Display(tables=(Table(columns, tuple(rows)),))


def _refuse(group: FeatureGroup, settings: Sequence[str], why: str) -> None:
    """Raise ValueError if any of these settings of the group is given."""
    fields = type(group).model_fields
    given = [name for name in settings if getattr(group, name) != fields[name].get_default()]
    if given:
        raise ValueError(f"{why}; remove {given}")


def _storage_text(group: FeatureGroup) -> str:
    """How the group's rows are partitioned, or why it has none here."""
    if group.in_place is not None:
        return "in place"
    return "computed" if group.is_computed else group.partition_by


def _duration_text(duration: timedelta | None) -> str:
    return "none" if duration is None else format_duration(duration)
