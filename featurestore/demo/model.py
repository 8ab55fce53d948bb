"""What a wrong join costs: one small model, trained on the training set and on the same flights joined wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from featurestore import FeatureStore, TrainingSet
from featurestore.demo.wrong_joins import latest_values, same_day_values
from featurestore.errors import RuntimeSetupError

ROW_ID = "flight_id"
CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["distance", "scheduled_hour", "scheduled_weekday"]

# How a model's features were joined -> the join; nothing joins none.
JOINS: dict[str, Callable[[FeatureStore, TrainingSet, DataFrame], DataFrame] | None] = {
    "as of two hours before departure": None,
    "wrong: newest value of the same day": same_day_values,
    "wrong: newest value of all": latest_values,
}
WITHOUT_FEATURES = "without any feature"


@dataclass(frozen=True)
class Score:
    """ROC AUC of a model on the held-out later flights.

    ``offline``: with features joined as for its training, which is what its author sees. ``served``: with those that
    there are at the moment of decision.
    """

    join: str
    offline: float
    served: float


@dataclass(frozen=True)
class Part:
    """The labelled flights of one part of the split; ``known`` is what the schedule says, ``features`` is as of."""

    ids: pd.Series[Any]
    known: pd.DataFrame
    features: pd.DataFrame
    late: pd.Series[Any]

    @classmethod
    def of(cls, training_set: TrainingSet, split: str) -> Part:
        frame = training_set.to_pandas(split)
        assert frame.y is not None
        labelled = frame.y.notna()
        known = pd.concat([frame.spine, frame.entity_ids], axis=1)
        return cls(
            ids=known.loc[labelled, ROW_ID],
            known=known.loc[labelled, [*NUMBERS, *CATEGORIES]],
            features=frame.X[labelled].astype("float64"),
            late=frame.y[labelled].astype(bool),
        )

    def joined_otherwise(self, values: pd.DataFrame) -> pd.DataFrame:
        """Features from another join, of the same flights in the same order."""
        return values.loc[self.ids, self.features.columns].astype("float64").set_index(self.features.index)


def compare_joins(fs: FeatureStore, training_set: TrainingSet, seed: int = 0) -> list[Score]:
    """Train on the split's train part and score on its test part, once a join, and once without features.

    All else is equal: flights, columns, model, seed. Nothing is tuned, so the validation part is not touched. Flights
    without a label (cancelled, diverted) are left out.
    """
    train, test = Part.of(training_set, "train"), Part.of(training_set, "test")
    scores = []
    for name, join in JOINS.items():
        train_features, test_features = train.features, test.features
        if join is not None:
            values = _collected(join(fs, training_set, _keys(training_set)), list(train.features.columns))
            train_features, test_features = train.joined_otherwise(values), test.joined_otherwise(values)
        model = _Model.trained(train, train_features, seed)
        scores.append(Score(name, model.auc(test, test_features), model.auc(test, test.features)))
    nothing = pd.DataFrame(index=train.features.index), pd.DataFrame(index=test.features.index)
    plain = _Model.trained(train, nothing[0], seed).auc(test, nothing[1])
    return [*scores, Score(WITHOUT_FEATURES, plain, plain)]


def _keys(training_set: TrainingSet) -> DataFrame:
    manifest = training_set.manifest
    return training_set.rows.select(ROW_ID, manifest.timestamp_column, *manifest.key_columns)


def _collected(rows: DataFrame, features: list[str]) -> pd.DataFrame:
    collected: pd.DataFrame = rows.select(ROW_ID, *features).toArrow().to_pandas()
    return collected.set_index(ROW_ID)


@dataclass(frozen=True)
class _Model:
    """A classifier, and the categories it knows; others count as missing."""

    classifier: Any
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
        categories = {name: sorted(part.known[name].unique()) for name in CATEGORIES}
        classifier = HistGradientBoostingClassifier(
            categorical_features="from_dtype", early_stopping=False, random_state=seed
        )
        model = cls(classifier, categories)
        # Its threads wait for each other in busy loops: on a machine with other work they cost more than they gain.
        with threadpool_limits(1, user_api="openmp"):
            classifier.fit(model.columns(part, features), part.late)
        return model

    def columns(self, part: Part, features: pd.DataFrame) -> pd.DataFrame:
        coded = {name: pd.Categorical(part.known[name], categories=known) for name, known in self.categories.items()}
        return pd.concat([part.known.assign(**coded), features], axis=1)

    def auc(self, part: Part, features: pd.DataFrame) -> float:
        from sklearn.metrics import roc_auc_score

        likely = self.classifier.predict_proba(self.columns(part, features))[:, 1]
        return float(roc_auc_score(part.late, likely))
