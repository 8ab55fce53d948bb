"""A declared training set: a spine, the features to join to it, its label and its split."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from featurestore.definitions.base import Definition
from featurestore.definitions.lookup import Lookup
from featurestore.definitions.names import Name
from featurestore.definitions.source import Source
from featurestore.definitions.time_window import to_instant
from featurestore.definitions.transformation import Transformation

Instant = Annotated[datetime, BeforeValidator(to_instant)]


class TimeSplit(Definition):
    """Train, validation and test by time: earlier rows train, later rows judge.

    Either two instants, each the first that belongs to its part (``validation_from`` may be left out: no validation
    part), or two shares of the rows, from which the instants are computed; rows of one instant always stay together.
    """

    validation_from: Instant | None = None
    test_from: Instant | None = None
    validation: float | None = Field(default=None, ge=0, lt=1)
    test: float | None = Field(default=None, gt=0, lt=1)

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
        if (self.validation or 0) + (self.test or 0) >= 1:
            raise ValueError("validation and test together leave nothing to train on")
        return self


class SpineQuery(Definition):
    """The spine as one SELECT, or one Python function, over declared sources."""

    sources: dict[Name, Source] = Field(min_length=1)
    transformation: Annotated[Transformation, BeforeValidator(Transformation.of)]


class TrainingSetDefinition(Definition):
    """What ``featurestore training-set build NAME`` builds.

    ``known_at`` is none (corrections count whenever they came), an instant (only what was known then) or ``"event"``
    (only what was known at each row's own time).
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "features")

    name: Name
    features: tuple[str | Lookup, ...] = Field(min_length=1)
    spine: SpineQuery
    label: str
    description: str = ""
    timestamp_column: str = "event_timestamp"
    known_at: Literal["event"] | Instant | None = None
    full_feature_names: bool = False
    split: TimeSplit | None = None
    sample_size: int | None = Field(default=None, gt=0)
    seed: int = 0
    start_time: Instant | None = None
    end_time: Instant | None = None
