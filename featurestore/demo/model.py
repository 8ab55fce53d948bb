"""Measure what a wrong join costs: train a small model on the training set, and on the same flights joined wrongly."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from featurestore import FeatureStore, TrainingSet
from featurestore.demo.wrong_joins import StoredValues, latest_values, same_day_values, stored_values
from featurestore.errors import RuntimeSetupError

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["distance", "scheduled_hour", "scheduled_weekday"]

WrongJoin = Callable[[pd.DataFrame, list[StoredValues]], pd.DataFrame]

AS_OF = "as of two hours before departure"
WINDOWS = "the same, routes by windows"
WRONG_JOINS: dict[str, WrongJoin] = {
    "wrong: newest value of the same day": same_day_values,
    "wrong: newest value of all": latest_values,
}
WITHOUT_FEATURES = "without any feature"


@dataclass(frozen=True)
class Score:
    """ROC AUC of a model on the held-out later flights.

    ``offline``: with features joined as in its training, which is the score that its author sees. ``served``: with the
    features that exist at the moment of decision.
    """

    join: str
    offline: float
    served: float


@dataclass(frozen=True)
class Part:
    """The labelled flights of one part of the split: their schedule, and features as of the decision."""

    schedule: pd.DataFrame
    features: pd.DataFrame
    late: pd.Series[Any]

    @classmethod
    def of(cls, training_set: TrainingSet, split: str) -> Part:
        frame = training_set.to_pandas(split)
        assert frame.y is not None, "the training set has a label"
        labelled = frame.y.notna().to_numpy()
        schedule = pd.concat([frame.spine, frame.entity_ids, frame.timestamps], axis=1)
        return cls(
            schedule=schedule[labelled].reset_index(drop=True),
            features=frame.X[labelled].reset_index(drop=True).astype("float64"),
            late=frame.y[labelled].reset_index(drop=True).astype(bool),
        )

    def joined_by(self, join: WrongJoin, groups: list[StoredValues]) -> pd.DataFrame:
        """Stored features of the same flights, joined in another way."""
        joined = join(self.schedule, groups)
        assert len(joined) == len(self.schedule), "a join must not multiply rows"
        stored = [name for group in groups for name in group.features]
        return joined[stored].astype("float64")


def compare_joins(fs: FeatureStore, training_set: TrainingSet, seed: int = 0) -> list[Score]:
    """Train on the split's train part and score on its test part: once per join, and once without features.

    The groups that store values are joined as of the decision, and in the wrong ways. They are also joined as of the
    decision with groups that compute windows in the place of those of the same entity.

    Flights, columns, model and seed are the same. Nothing is tuned, so the validation part is not used. Flights without
    a label (cancelled, diverted) are left out.
    """
    train, test = Part.of(training_set, "train"), Part.of(training_set, "test")
    groups = list(stored_values(fs, training_set))
    stored, windows = _feature_sets(fs, training_set)
    joined = {AS_OF: (train.features[stored], test.features[stored])}
    if windows:
        joined[WINDOWS] = (train.features[windows], test.features[windows])
    for name, join in WRONG_JOINS.items():
        joined[name] = (train.joined_by(join, groups), test.joined_by(join, groups))
    joined[WITHOUT_FEATURES] = (train.features[[]], test.features[[]])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda name: _score(name, train, test, *joined[name], seed), joined))


def _feature_sets(fs: FeatureStore, training_set: TrainingSet) -> tuple[list[str], list[str]]:
    """The columns of the groups that store values, and those with windows in place of an entity's stored ones.

    The second is empty if no group computes its values.
    """
    lookups, columns = training_set.manifest.features, iter(training_set.manifest.feature_columns)
    groups = [(fs.feature_group(each.group), [next(columns) for _ in each.features]) for each in lookups]
    windowed = {group.entity.name for group, _ in groups if group.is_computed}
    stored = [name for group, names in groups if not group.is_computed for name in names]
    windows = [
        name for group, names in groups if group.is_computed or group.entity.name not in windowed for name in names
    ]
    return stored, windows if windowed else []


def _score(
    name: str, train: Part, test: Part, train_features: pd.DataFrame, test_features: pd.DataFrame, seed: int
) -> Score:
    model = _Model.trained(train, train_features, seed)
    served = test.features[test_features.columns]
    return Score(name, offline=model.auc(test, test_features), served=model.auc(test, served))


@dataclass(frozen=True)
class _Model:
    """A classifier, the features it was trained on, and the categories it knows; others count as missing."""

    classifier: Any
    features: list[str]
    categories: dict[str, list[str]]

    @classmethod
    def trained(cls, part: Part, features: pd.DataFrame, seed: int) -> _Model:
        try:
            from sklearn.ensemble import HistGradientBoostingClassifier
            from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
        except ImportError as error:
            raise RuntimeSetupError(
                "the demo's model needs scikit-learn; install it with: pip install 'offline-feature-store[demo]'"
            ) from error
        categories = {name: sorted(part.schedule[name].unique()) for name in CATEGORIES}
        classifier = HistGradientBoostingClassifier(
            categorical_features="from_dtype", early_stopping=False, random_state=seed
        )
        # The model cannot cut a feature without any value into bins.
        known = list(features.columns[features.notna().any()])
        model = cls(classifier, known, categories)
        # One thread per model: the classifier's own threads wait in busy loops, and are slower where others work.
        with threadpool_limits(1, user_api="openmp"):
            classifier.fit(model.columns(part, features), part.late)
        return model

    def columns(self, part: Part, features: pd.DataFrame) -> pd.DataFrame:
        coded = {name: pd.Categorical(part.schedule[name], categories=known) for name, known in self.categories.items()}
        return pd.concat([part.schedule[NUMBERS].assign(**coded), features[self.features]], axis=1)

    def auc(self, part: Part, features: pd.DataFrame) -> float:
        from sklearn.metrics import roc_auc_score

        likely = self.classifier.predict_proba(self.columns(part, features))[:, 1]
        return float(roc_auc_score(part.late, likely))
