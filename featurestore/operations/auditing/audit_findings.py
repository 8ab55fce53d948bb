"""Turn the audit's numbers into findings: decide whether a number means a leak, a doubt or nothing, and word it.

Every threshold is here, with its reason. docs/leakage_audit.md explains them to users.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from featurestore.definitions.finding import Finding, Severity
from featurestore.definitions.values.durations import format_duration, spoken
from featurestore.frames.training_sets.label_agreement import Agreement
from featurestore.operations.auditing.audit_join import Expired, Reality

# With fewer labelled rows, or fewer rows outside the commonest label, any feature may agree by chance.
MIN_ROWS, MIN_OTHERS = 10, 3
# No feature that was known before the label is right about 99 of 100 rows with the rarer labels.
EQUAL = 0.99
# Above this a feature is the label on another scale; yesterday's value of a slow series reaches 0.99.
CORRELATED = 0.999
# Shares of errors avoided when the label is guessed from the feature. The best honest models avoid fewer.
MOST_SAVED, NEARLY_ALL_SAVED = 0.97, 0.995
# Fewer errors could all be avoided by luck: a feature that avoids four in five of 20 avoids all once in a hundred
# times.
MIN_BASE_ERRORS = 20
# Some values always come late; from this share on, the model learns from values that serving will not have.
KNOWN_LATER = 0.01
# A TTL is meant to leave some values out; from these shares on, it leaves out much of the data.
EXPIRED_ROWS, EXPIRED_MISSES = 0.05, 0.25
UNLABELLED = 0.2


def newer_than_spine(lookup: str, rows: int, newer: int, seconds: float) -> Finding | None:
    if not newer:
        return None
    return Finding(
        check="newer_than_spine",
        severity="error",
        subject=lookup,
        message=(
            f"{newer:,} of {rows:,} rows have a value of {lookup} from after their own time, by up to {spoken(seconds)}"
        ),
        advice="Values from the future: do not train on this set. Build it again; if this stays, please report it",
        measured={"rows": rows, "newer": newer, "seconds": seconds},
    )


def like_label(feature: str, label: str, agreement: Agreement, many_numbers: bool) -> Finding | None:
    """The strongest finding of three: equal to the label, predicts the label, or is the label on another scale."""
    if agreement.rows < MIN_ROWS or agreement.others < MIN_OTHERS:
        equality, correlation = 0.0, 0.0
    else:
        equality, correlation = agreement.equality, abs(agreement.correlation or 0.0)
    if equality >= EQUAL and agreement.equal is not None:
        share = agreement.equal / agreement.rows
        return Finding(
            check="equals_label",
            severity="error",
            subject=feature,
            message=(
                f"{feature} equals the label {label} in {share:.1%} of the {agreement.rows:,} sampled rows that have "
                "both"
            ),
            advice=_ADVICE_LABEL,
            measured={"rows": agreement.rows, "equal": agreement.equal, "equal_share": share},
        )
    errors_saved = agreement.errors_saved if agreement.base_errors >= MIN_BASE_ERRORS else 0.0
    if errors_saved >= MOST_SAVED:
        severity: Severity = "error" if errors_saved >= NEARLY_ALL_SAVED and not many_numbers else "warning"
        right = 1 - agreement.errors / agreement.guessed
        base = 1 - agreement.base_errors / agreement.guessed
        return Finding(
            check="tells_label",
            severity=severity,
            subject=feature,
            message=(
                f"{feature} alone tells the label {label}: guessed from it, {right:.1%} of {agreement.guessed:,} "
                f"sampled rows are right, and {base:.1%} by the commonest label"
            ),
            advice=_ADVICE_LABEL,
            measured={
                "rows": agreement.guessed,
                "errors": agreement.errors,
                "base_errors": agreement.base_errors,
                "errors_saved": errors_saved,
            },
        )
    if correlation >= CORRELATED:
        return Finding(
            check="tells_label",
            severity="warning",
            subject=feature,
            message=(
                f"{feature} is nearly the label {label} on another scale: their correlation is "
                f"{agreement.correlation:.4f} over {agreement.rows:,} sampled rows"
            ),
            advice=_ADVICE_LABEL,
            measured={"rows": agreement.rows, "correlation": agreement.correlation or 0.0},
        )
    return None


_ADVICE_LABEL = (
    "Find out when its value is written. If that is with the label or after it, leave the feature out, or give its "
    "values the event timestamp at which they are known"
)


def known_later(lookup: str, reality: Reality, known_at: object) -> Finding | None:
    """A finding if serving would have given other values; None for a set built with ``known_at="event"``."""
    if known_at == "event" or not reality.other:
        return None
    share = reality.other / reality.rows
    severity: Severity = "warning" if known_at is None and share >= KNOWN_LATER else "info"
    return Finding(
        check="known_later",
        severity=severity,
        subject=lookup,
        message=(
            f"in {reality.other:,} of {reality.rows:,} sampled rows ({share:.1%}) values of {lookup} were written "
            f"after the row's own time: serving would have seen nothing in {reality.nothing:,} of them and other "
            f"values in {reality.other - reality.nothing:,}"
        ),
        advice=(
            'Build with known_at="event" to train on what serving sees. If the history was only loaded late, write it '
            "with the created_timestamp at which it was known"
        ),
        measured={"rows": reality.rows, "other": reality.other, "nothing": reality.nothing, "share": share},
    )


def doubled_rows(doubled: Mapping[str, Any], rows: int, only_the_label_differs: bool) -> Finding | None:
    """A finding if several spine rows are of the same example.

    ``only_the_label_differs``: the spine has only keys, timestamp and label, so rows of the same example contradict.
    """
    if not doubled["rows"]:
        return None
    contradicting = doubled["rows"] - doubled["copies"]
    suspicious = doubled["copies"] > 0 or only_the_label_differs
    return Finding(
        check="doubled_rows",
        severity="warning" if suspicious else "info",
        subject="spine",
        message=(
            f"{doubled['rows']:,} of {rows:,} spine rows have the keys and the timestamp of another: "
            f"{doubled['copies']:,} are copies of it, {contradicting:,} differ in other columns of the spine"
        ),
        advice=(
            "Take copies out of the spine: they weigh double, and may be in train and in test. Keep them only where "
            "they are examples of their own"
        ),
        measured={
            "rows": rows,
            "doubled": doubled["rows"],
            "copies": doubled["copies"],
            "examples": doubled["examples"],
        },
    )


def ttl_too_short(lookup: str, ttl: timedelta, by_feature: Mapping[str, Expired]) -> Finding | None:
    """A finding on the lookup's feature that loses most, with a TTL that would keep nine in ten of its older values."""
    feature, most = max(by_feature.items(), key=lambda item: item[1].older)
    if most.older < max(1.0, EXPIRED_ROWS * most.rows) or most.older < EXPIRED_MISSES * most.missing:
        return None
    median, high = most.ages
    enough = rounded_up(high)
    return Finding(
        check="ttl_too_short",
        severity="warning",
        subject=lookup,
        message=(
            f"{most.missing:,} of {most.rows:,} sampled rows ({most.missing / most.rows:.1%}) have no {feature} "
            f"within the TTL of {format_duration(ttl)}; {most.older:,} of them have an older one, of age "
            f"{spoken(median)} in the median and up to {spoken(high)} in nine of ten"
        ),
        advice=(
            f"A TTL of {format_duration(enough)} would fill nine in ten of these. Raise it if a value that old still "
            "says something; if not, find out why newer ones were not written"
        ),
        measured={
            "rows": most.rows,
            "missing": most.missing,
            "older": most.older,
            "ttl_seconds": ttl.total_seconds(),
            "age_median": median,
            "age_90": high,
        },
    )


def always_missing(feature: str, rows: int) -> Finding:
    return Finding(
        check="always_missing",
        severity="warning",
        subject=feature,
        message=f"{feature} has no value in any of {rows:,} rows",
        advice=(
            "See whether its group has values for these keys before these times, and within its TTL; or leave it out"
        ),
        measured={"rows": rows},
    )


def about_label(label: str, rows: int, unlabelled: int, one_label: bool | None) -> list[Finding]:
    findings = []
    if unlabelled >= UNLABELLED * rows:
        findings.append(
            Finding(
                check="label_missing",
                severity="info",
                subject=label,
                message=f"the label {label} is missing in {unlabelled:,} of {rows:,} rows ({unlabelled / rows:.1%})",
                advice="Leave rows without a label out of training; every share reported for this set counts them",
                measured={"rows": rows, "missing": unlabelled},
            )
        )
    if one_label:
        findings.append(
            Finding(
                check="label_constant",
                severity="info",
                subject=label,
                message=f"the label {label} is the same in all {rows - unlabelled:,} rows that have one",
                advice="There is nothing to learn: see whether the spine has all outcomes",
                measured={"rows": rows, "labelled": rows - unlabelled},
            )
        )
    return findings


def not_compared(label: str, labelled: int) -> Finding:
    return Finding(
        check="not_compared",
        severity="info",
        subject=label,
        message=f"with {labelled:,} labelled rows, features could not be compared with the label {label}",
        advice=f"The comparison needs {MIN_ROWS} labelled rows, {MIN_OTHERS} of them outside the commonest label",
        measured={"labelled": labelled},
    )


_STEPS = tuple(
    timedelta(**{unit: count})
    for unit, counts in (
        ("seconds", (1, 2, 5, 10, 30)),
        ("minutes", (1, 2, 5, 10, 15, 30)),
        ("hours", (1, 2, 3, 4, 6, 8, 12, 18)),
        ("days", (1, 2, 3, 4, 5, 7, 10, 14, 21, 30, 45, 60, 90, 180, 365)),
    )
    for count in counts
)


def rounded_up(seconds: float) -> timedelta:
    """The shortest round duration that is at least this long."""
    for step in _STEPS:
        if step.total_seconds() >= seconds:
            return step
    year = 365 * 86_400
    return timedelta(days=365 * math.ceil(seconds / year))
