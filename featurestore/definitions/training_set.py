"""A declared training set: a spine, the features to join to it, its label and its split."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import Name
from featurestore.definitions.source import Source
from featurestore.definitions.transformation import Transformation
from featurestore.definitions.values.durations import Duration
from featurestore.definitions.values.time_window import to_instant

Instant = Annotated[datetime, BeforeValidator(to_instant)]
# Rounded down: a value written after the instant was not known at it.
KnownInstant = Annotated[datetime, BeforeValidator(partial(to_instant, finer="down"))]


class TimeSplit(Definition):
    """Train, validation and test by time: earlier rows for training, later rows for validation and test.

    Give either two instants, each the first of its part (leave out ``validation_from`` for no validation part), or two
    shares of the rows, from which the instants are computed; rows of one instant always stay together.
    ``embargo`` leaves a gap: rows less than this long before a later part begins are in no part (``embargo``).
    """

    kind: Literal["time"] = "time"
    validation_from: Instant | None = None
    test_from: Instant | None = None
    validation: float | None = Field(default=None, ge=0, lt=1)
    test: float | None = Field(default=None, gt=0, lt=1)
    embargo: Duration | None = None

    @model_validator(mode="after")
    def _instants_or_shares(self) -> Self:
        by_instant = self.test_from is not None
        by_share = self.test is not None
        if by_instant == by_share:
            raise ValueError("give either 'test_from' (an instant) or 'test' (a share of the rows)")
        if (by_instant and self.validation is not None) or (by_share and self.validation_from is not None):
            raise ValueError("give both parts as instants or both as shares")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("validation_from must be before test_from")
        if self.embargo is not None and self.embargo <= timedelta(0):
            raise ValueError("embargo must be longer than zero; leave it out for no gap")
        _check_train_is_left(self)
        return self


class _NamedSplit(Definition):
    """A split that always writes its ``kind``, which callers need not give.

    ``kind`` has no default in the model, since stored definitions leave defaults out.
    """

    def __init__(self, **fields: Any) -> None:
        [kind] = get_args(type(self).model_fields["kind"].annotation)
        super().__init__(**({"kind": kind} | fields))


class RandomSplit(_NamedSplit):
    """Train, validation and test at random: by a hash of the training set's seed and the row.

    ``validation`` and ``test`` are shares of the rows, exact to the row; rows equal in all columns stay together.
    """

    kind: Literal["random"]
    validation: float = Field(default=0, ge=0, lt=1)
    test: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _has_a_train_part(self) -> Self:
        _check_train_is_left(self)
        return self


class EntitySplit(_NamedSplit):
    """Train, validation and test by entity: all rows of one entity are in one part.

    ``validation`` and ``test`` are shares of the entities, exact to the entity. ``by`` names the spine's columns that
    identify an entity; empty means all columns by which features are looked up. Entities are chosen by a hash of the
    seed and their keys.
    """

    kind: Literal["entity"]
    validation: float = Field(default=0, ge=0, lt=1)
    test: float = Field(gt=0, lt=1)
    by: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_train_part(self) -> Self:
        _check_train_is_left(self)
        return self


def _check_train_is_left(split: TimeSplit | RandomSplit | EntitySplit) -> None:
    if (split.validation or 0) + (split.test or 0) >= 1:
        raise ValueError("validation and test together leave nothing to train on")


SPLITS: dict[str, type[TimeSplit | RandomSplit | EntitySplit]] = {
    "time": TimeSplit,
    "random": RandomSplit,
    "entity": EntitySplit,
}


def _kind_of_split(value: Any) -> Any:
    """Read a split as YAML has it: ``kind`` selects the class; without one, the split is by time."""
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind", "time")
    if kind not in SPLITS:
        raise ValueError(f"split kind {kind!r} is not known; possible: {', '.join(SPLITS)}")
    return SPLITS[kind].model_validate(dict(value))


Split = Annotated[TimeSplit | RandomSplit | EntitySplit, BeforeValidator(_kind_of_split)]
# Whole numbers stay whole, however large; a boolean is not a number.
Missing = Literal["keep", "drop"] | bool | int | float | str | dict[str, bool | int | float | str]

# The seed and the number after it must be longs: rows are ordered by two hashes, one of each.
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 2)]


class SpineQuery(Definition):
    """The spine as one SELECT, or one Python function, over declared sources."""

    sources: dict[Name, Source] = Field(min_length=1)
    transformation: Annotated[Transformation, BeforeValidator(Transformation.of)]


class TrainingSetDefinition(Definition):
    """What ``featurestore training-set build NAME`` builds.

    ``label`` is a column of the spine, or a feature reference, joined as of ``label_offset`` after the row's timestamp.
    ``known_at`` is None (corrections count whenever they were written), an instant (only what was known then counts)
    or ``"event"`` (only what was known at each row's own time counts).
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "features")

    name: Name
    features: tuple[str | Lookup, ...] = Field(min_length=1)
    spine: SpineQuery
    label: str
    description: str = ""
    timestamp_column: str = "event_timestamp"
    known_at: Literal["event"] | KnownInstant | None = None
    full_feature_names: bool = False
    label_offset: Duration | None = None
    split: Split | None = None
    sample_size: int | None = Field(default=None, gt=0)
    stratify_by: tuple[str, ...] = ()
    seed: Seed = 0
    missing: Missing = "keep"
    expand_vectors: bool = False
    strict: bool = False
    start_time: Instant | None = None
    end_time: Instant | None = None
