"""Compare two versions of a training set: their rows, their features, and the distributions of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from featurestore.columnar.training_sets.version_comparison import ColumnSummary
from featurestore.display.description import Display, Table, count
from featurestore.display.displayed import Displayed
from featurestore.operations.context import Context
from featurestore.operations.saved_sets.version_pair import version_pair
from featurestore.stores.training_sets.manifests import Manifest

TOP = 3


@dataclass(frozen=True)
class FeatureSummary:
    """A feature in one version.

    ``missing``: the share of rows without a value. ``mean`` and ``stddev``: of numbers (true counts as 1). ``top``: of
    texts and booleans, the most frequent values, each with its share of the rows that have a value.
    """

    missing: float | None
    mean: float | None
    stddev: float | None
    top: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        facts = [] if self.missing is None else [f"missing {self.missing:.1%}"]
        if self.mean is not None:
            facts.append(f"mean {self.mean:.4g}")
        if self.stddev is not None:
            facts.append(f"stddev {self.stddev:.4g}")
        facts += [f"{value} {share:.1%}" for value, share in self.top]
        return ", ".join(facts) or "no rows"


@dataclass(frozen=True)
class FeatureDiff:
    """A feature that both versions have, or a label that is a feature; ``changed``: common rows with another value."""

    name: str
    type: str
    changed: int
    a: FeatureSummary
    b: FeatureSummary


@dataclass(frozen=True)
class TrainingSetDiff(Displayed):
    """Version ``b`` compared with version ``a``.

    The spine columns that both have identify rows, and every copy counts: ``only_a``, ``only_b``, ``both``.
    ``changed``: the rows in both in which any common feature differs. A feature or a spine column with another type
    counts as removed and added, each as ``name (type)``.
    """

    name: str
    version_a: int
    version_b: int
    rows_a: int
    rows_b: int
    only_a: int
    only_b: int
    both: int
    changed: int
    spine_removed: tuple[str, ...]
    spine_added: tuple[str, ...]
    features_removed: tuple[str, ...]
    features_added: tuple[str, ...]
    features: tuple[FeatureDiff, ...]

    @property
    def is_same(self) -> bool:
        """Whether both have the same rows with the same values, in the same columns."""
        apart = self.spine_removed or self.spine_added or self.features_removed or self.features_added
        return not apart and self.only_a == self.only_b == self.changed == 0

    def display(self) -> Display:
        """The numbers of rows, the columns that are not in both, and one line per feature."""
        a, b = f"v{self.version_a}", f"v{self.version_b}"
        facts = [
            ("rows", f"{self.rows_a:,} -> {self.rows_b:,}"),
            ("in both", f"{self.both:,}, of which {self.changed:,} have other feature values"),
            (f"only in {a}", count(self.only_a)),
            (f"only in {b}", count(self.only_b)),
            *((title, ", ".join(names)) for title, names in self._columns_apart() if names),
        ]
        rows = tuple(
            (feature.name, feature.type, count(feature.changed), str(feature.a), str(feature.b))
            for feature in self.features
        )
        return Display(
            f"{self.name} {a} -> {b}" + (": the same" if self.is_same else ""),
            facts=tuple(facts),
            tables=(Table(("feature", "type", "changed", a, b), rows),),
        )

    def _columns_apart(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            ("spine columns removed", self.spine_removed),
            ("spine columns added", self.spine_added),
            ("features removed", self.features_removed),
            ("features added", self.features_added),
        )

    def __str__(self) -> str:
        lines = [
            f"{self.name} v{self.version_a} -> v{self.version_b}",
            f"rows: {self.rows_a:,} -> {self.rows_b:,}; {self.both:,} in both, {self.only_a:,} only in "
            f"v{self.version_a}, {self.only_b:,} only in v{self.version_b}",
            f"of those in both, {self.changed:,} have other feature values",
        ]
        for title, names in self._columns_apart():
            if names:
                lines.append(f"{title}: {', '.join(names)}")
        for feature in self.features:
            lines.append(f"{feature.name} ({feature.type}): {feature.changed:,} changed")
            lines += [f"  v{self.version_a}: {feature.a}", f"  v{self.version_b}: {feature.b}"]
        return "\n".join(lines)


def diff(context: Context, a: Manifest, b: Manifest) -> TrainingSetDiff:
    """Compare two versions, without Spark if this process can read both.

    On Spark it takes one pass for the rows, and two over each version for its distributions. Means and deviations may
    differ in their last digits, because sums of doubles depend on their order.
    """
    pair = version_pair(context, a, b)
    words_a, words_b = pair.words
    spine_a, spine_b = _types(words_a, a.spine_columns), _types(words_b, b.spine_columns)
    values_a, values_b = _types(words_a, _values(a)), _types(words_b, _values(b))
    spine = [name for name, kind in spine_a.items() if spine_b.get(name) == kind]
    values = [name for name, kind in values_a.items() if values_b.get(name) == kind]
    counts = pair.compared(spine, values)
    rows_a, rows_b = counts.both + counts.only_a, counts.both + counts.only_b
    of_a, of_b = pair.summaries(values, TOP)
    changes = zip(values, counts.changed_values, of_a, of_b, strict=True)
    return TrainingSetDiff(
        name=a.name,
        version_a=a.version,
        version_b=b.version,
        rows_a=rows_a,
        rows_b=rows_b,
        only_a=counts.only_a,
        only_b=counts.only_b,
        both=counts.both,
        changed=counts.changed,
        spine_removed=_without(spine_a, spine),
        spine_added=_without(spine_b, spine),
        features_removed=_without(values_a, values),
        features_added=_without(values_b, values),
        features=tuple(
            FeatureDiff(name, values_a[name], changed, _summary(in_a, rows_a), _summary(in_b, rows_b))
            for name, changed, in_a, in_b in changes
        ),
    )


def _values(manifest: Manifest) -> list[str]:
    """The features, and a label that is not a column of the spine."""
    label = [] if manifest.label is None or manifest.label in manifest.spine_columns else [manifest.label]
    return [*manifest.feature_columns, *label]


def _types(words: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: words[name] for name in names}


def _without(types: dict[str, str], common: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name} ({kind})" for name, kind in types.items() if name not in common)


def _summary(column: ColumnSummary, rows: int) -> FeatureSummary:
    with_value = rows - column.missing
    return FeatureSummary(
        missing=column.missing / rows if rows else None,
        mean=column.mean,
        stddev=column.stddev,
        top=tuple((value, n / with_value) for value, n in column.top),
    )
