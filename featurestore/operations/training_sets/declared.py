"""Build a training set from its definition: run its spine, then build the set from it."""

from __future__ import annotations

from datetime import datetime

from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.definitions.values.time_window import TimeWindow
from featurestore.operations.context import Scope
from featurestore.operations.jobs.transform import isolated, transform
from featurestore.operations.jobs.transformation_errors import rows_that_compute
from featurestore.operations.training_sets.build import Built, build_training_set
from featurestore.operations.training_sets.request import TrainingSetRequest, plan_training_set


def build_declared(scope: Scope, definition: TrainingSetDefinition, *, new_version: bool) -> Built:
    """Run the definition's spine and build the training set, in a separate session; see ``build_training_set``."""
    inside = isolated(scope, definition.spine.sources)
    window = _window(definition, scope.now())
    with rows_that_compute(definition.spine.transformation, definition.spine.sources):
        spine = transform(inside, definition.spine.sources, definition.spine.transformation, window)
        plan = plan_training_set(scope.context, TrainingSetRequest.of_definition(definition), new_version=new_version)
        return build_training_set(inside, spine, plan)


def _window(definition: TrainingSetDefinition, now: datetime) -> TimeWindow:
    """``:start_time`` and ``:end_time`` of the spine; by default the year 1 and now."""
    start = definition.start_time or datetime(1, 1, 1, tzinfo=now.tzinfo)
    return TimeWindow(start, definition.end_time or now)
