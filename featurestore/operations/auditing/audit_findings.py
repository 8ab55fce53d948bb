"""From the audit's numbers to findings: what is a leak, what is a doubt, what is nothing; and the words for it.

Every threshold is here, with its reason. docs/leakage_audit.md tells them to users.
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

# Of fewer labelled rows, or fewer with another than the commonest label, any feature may agree by chance.
MIN_ROWS, MIN_OTHERS = 10, 3
# No feature that was known before is right about 99 of 100 of the rarer labels.
EQUAL = 0.99
# Beyond it a feature is the label on another scale; yesterday's value of a slow series reaches 0.99.
CORRELATED = 0.999
# Shares of errors that are saved where the label is guessed from the feature. The best of honest models save less.
TOLD, ALL_TOLD = 0.97, 0.995
# Fewer errors to save could all be saved by luck: a feature that saves four in five does it once in a hundred times.
MIN_BASE_ERRORS = 20
# Values that come late are a fact of life; from here on the model learns from what it will not be given.
KNOWN_LATER = 0.01
# A TTL is there to leave something out; from here on it leaves out much of what there is.
EXPIRED_ROWS, EXPIRED_MISSES = 0.05, 0.25
UNLABELLED = 0.2


def newer_than_spine(lookup: str, rows: int, newer: int, seconds: float) -> Finding | None:
    if not newer:
        return None
    return Finding(
        check="newer_than_spine",
        severity="error",
        subject=lookup,
        message=f"{newer:,} of {rows:,} rows have a value of {lookup} from after their own time, by up to {spoken(seconds)}",
        advice="Values from the future: do not train on this set. Build it again; if this stays, please report it",
        measured={"rows": rows, "newer": newer, "seconds": seconds},
    )


def like_label(feature: str, label: str, found: Agreement, many_numbers: bool) -> Finding | None:
    """The strongest of: it equals the label, it is the label on another scale, it tells the label."""
    if found.rows < MIN_ROWS or found.others < MIN_OTHERS:
        equality, correlation = 0.0, 0.0
    else:
        equality, correlation = found.equality, abs(found.correlation or 0.0)
    if equality >= EQUAL and found.equal is not None:
        share = found.equal / found.rows
        return Finding(
            check="equals_label",
            severity="error",
            subject=feature,
            message=f"{feature} equals the label {label} in {share:.1%} of the {found.rows:,} sampled rows that have both",
            advice=_ADVICE_LABEL,
            measured={"rows": found.rows, "equal": found.equal, "equal_share": share},
        )
    told = found.errors_saved if found.base_errors >= MIN_BASE_ERRORS else 0.0
    if told >= TOLD:
        severity: Severity = "error" if told >= ALL_TOLD and not many_numbers else "warning"
        right = 1 - found.errors / found.guessed
        base = 1 - found.base_errors / found.guessed
        return Finding(
            check="tells_label",
            severity=severity,
            subject=feature,
            message=(
                f"{feature} alone tells the label {label}: guessed from it, {right:.1%} of {found.guessed:,} sampled rows are "
                f"right, and {base:.1%} by the commonest label"
            ),
            advice=_ADVICE_LABEL,
            measured={
                "rows": found.guessed,
                "errors": found.errors,
                "base_errors": found.base_errors,
                "errors_saved": told,
            },
        )
    if correlation >= CORRELATED:
        return Finding(
            check="tells_label",
            severity="warning",
            subject=feature,
            message=(
                f"{feature} is all but the label {label} on another scale: their correlation is {found.correlation:.4f} over "
                f"{found.rows:,} sampled rows"
            ),
            advice=_ADVICE_LABEL,
            measured={"rows": found.rows, "correlation": found.correlation or 0.0},
        )
    return None


_ADVICE_LABEL = (
    "Find out when its value is written. If that is with the label or after it, leave the feature out, or give its values the "
    "event timestamp at which they are known"
)


def known_later(lookup: str, found: Reality, known_at: object) -> Finding | None:
    """Whether serving would have given other values; nothing is said of a set that was built as of serving."""
    if known_at == "event" or not found.other:
        return None
    share = found.other / found.rows
    severity: Severity = "warning" if known_at is None and share >= KNOWN_LATER else "info"
    return Finding(
        check="known_later",
        severity=severity,
        subject=lookup,
        message=(
            f"in {found.other:,} of {found.rows:,} sampled rows ({share:.1%}) values of {lookup} were written after the row's own "
            f"time: serving would have seen nothing in {found.nothing:,} of them and other values in {found.other - found.nothing:,}"
        ),
        advice=(
            'Build with known_at="event" to train on what serving sees. If the history was only loaded late, write it with the '
            "created_timestamp at which it was known"
        ),
        measured={"rows": found.rows, "other": found.other, "nothing": found.nothing, "share": share},
    )


def doubled_rows(found: Mapping[str, Any], rows: int, only_the_label_differs: bool) -> Finding | None:
    """``only_the_label_differs``: the spine has keys, timestamp and label alone, so that rows of one example contradict."""
    if not found["rows"]:
        return None
    contradicting = found["rows"] - found["copies"]
    suspicious = found["copies"] > 0 or only_the_label_differs
    return Finding(
        check="doubled_rows",
        severity="warning" if suspicious else "info",
        subject="spine",
        message=(
            f"{found['rows']:,} of {rows:,} spine rows have the keys and the timestamp of another: {found['copies']:,} are copies "
            f"of it, {contradicting:,} differ in other columns of the spine"
        ),
        advice=(
            "Take copies out of the spine: they weigh double, and may be in train and in test. Keep them only where they are "
            "examples of their own"
        ),
        measured={"rows": rows, "doubled": found["rows"], "copies": found["copies"], "examples": found["examples"]},
    )


def ttl_too_short(lookup: str, ttl: timedelta, found: Mapping[str, Expired]) -> Finding | None:
    """Of the lookup's features, that which loses most; the TTL that would keep nine in ten of its older values."""
    feature, most = max(found.items(), key=lambda item: item[1].older)
    if most.older < max(1.0, EXPIRED_ROWS * most.rows) or most.older < EXPIRED_MISSES * most.missing:
        return None
    median, high = most.ages
    enough = rounded_up(high)
    return Finding(
        check="ttl_too_short",
        severity="warning",
        subject=lookup,
        message=(
            f"{most.missing:,} of {most.rows:,} sampled rows ({most.missing / most.rows:.1%}) have no {feature} within the TTL of "
            f"{format_duration(ttl)}; {most.older:,} of them have an older one, of age {spoken(median)} in the median and up to "
            f"{spoken(high)} in nine of ten"
        ),
        advice=(
            f"A TTL of {format_duration(enough)} would fill nine in ten of these. Raise it if a value that old still says "
            "something; if not, find out why newer ones were not written"
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
        advice="See whether its group has values for these keys before these times, and within its TTL; or leave it out",
        measured={"rows": rows},
    )


def about_label(label: str, rows: int, unlabelled: int, one_label: bool | None) -> list[Finding]:
    found = []
    if unlabelled >= UNLABELLED * rows:
        found.append(
            Finding(
                check="label_missing",
                severity="info",
                subject=label,
                message=f"the label {label} is missing in {unlabelled:,} of {rows:,} rows ({unlabelled / rows:.1%})",
                advice="Leave rows without a label out of training; they count in every share that is told of this set",
                measured={"rows": rows, "missing": unlabelled},
            )
        )
    if one_label:
        found.append(
            Finding(
                check="label_constant",
                severity="info",
                subject=label,
                message=f"the label {label} is the same in all {rows - unlabelled:,} rows that have one",
                advice="There is nothing to learn: see whether the spine has all outcomes",
                measured={"rows": rows, "labelled": rows - unlabelled},
            )
        )
    return found


def not_compared(label: str, labelled: int) -> Finding:
    return Finding(
        check="not_compared",
        severity="info",
        subject=label,
        message=f"with {labelled:,} labelled rows, features could not be compared with the label {label}",
        advice=f"From {MIN_ROWS} labelled rows on, {MIN_OTHERS} of them not of the commonest label, it is done",
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
    """The least duration that people would write and that is not shorter."""
    for step in _STEPS:
        if step.total_seconds() >= seconds:
            return step
    year = 365 * 86_400
    return timedelta(days=365 * math.ceil(seconds / year))
