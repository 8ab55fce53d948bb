"""How results show themselves: the same description in a terminal, word by word, and in a notebook, value by value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from featurestore import (
    BackfillResult,
    EmbedResult,
    Entity,
    Feature,
    FeatureGroup,
    FeatureValue,
    Finding,
    Findings,
    GroupStats,
    MaterializeResult,
    OptimizeResult,
    ProfileResult,
    RetentionResult,
    Run,
    SimilarEntities,
    SimilarEntity,
    SyncResult,
    TimeWindow,
    TrainingSetDiff,
    VacuumResult,
    WriteResult,
)
from featurestore.definitions.feature_group import describe_groups
from featurestore.display.description import (
    Amount,
    Display,
    Mark,
    Table,
    count,
    counted,
    share,
    size,
    text_of,
    utc_text,
)
from featurestore.display.displayed import Displayed, Listing
from featurestore.display.html import as_html
from featurestore.display.terminal import as_rich
from featurestore.operations.definitions.plan import Plan, make_plan, read_definitions
from featurestore.operations.erasure.erase import ErasureCertificate
from featurestore.operations.erasure.erasing import ErasedTable
from featurestore.operations.jobs.backfill import PlannedWindow, describe_planned
from featurestore.operations.saved_sets.diff import FeatureDiff, FeatureSummary
from featurestore.operations.statistics.profile import GroupProfile
from featurestore.operations.statistics.stats import describe_stats
from featurestore.operations.upkeep.optimize import describe_optimized
from featurestore.operations.upkeep.retain import describe_retention
from featurestore.operations.upkeep.vacuum import describe_vacuumed
from featurestore.operations.vectors.sync_result import describe_synced
from featurestore.stores.small_tables.registry import RegistryState
from featurestore.stores.small_tables.runs import describe_runs
from featurestore.stores.training_sets.manifests import describe_manifests
from tests.pages.html_page import Page, faults_of
from tests.pages.profiles import drifted, profiled
from tests.pages.training_set_reports import manifest

EVIL = "<script>alert('x')</script>"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = TimeWindow(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
USER_STATS = FeatureGroup(
    "user_stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[
        Feature("score", "double", min=0, max=1, not_null=True, description="Of the last week"),
        Feature("plan", "string", allowed_values=["free", "pro"]),
    ],
    ttl=timedelta(days=7),
    owner="growth",
)
WRITTEN = WriteResult(
    1234, 2, "first", 7, {"score: greater than max 1": 2}, samples={"score: greater than max 1": ['{"user_id":"bob"}']}
)
DONE = MaterializeResult("run-1", "user_stats", DAY, "succeeded", 10, 1, {"score: null": 1}, 3)
SIMILAR = SimilarEntities(
    (SimilarEntity({"doc_id": 12345}, 0.98765432, NOON, NOON, "small", {"lang": "en"}),),
    "doc:text",
    "small",
    NOON,
    ("doc_id",),
    ("lang",),
)
STATS = GroupStats("user_stats", 1, ("score",), 1234, 56, NOON, NOON, 3, 5_300_000, None, 7, {"score": 0.125})
RUN = Run("acme", "0123456789abcdef", "materialize", "user_stats", 1, DAY, 1, "0.1.0", "failed", 1, error="it broke",
          recorded_at=NOON)  # fmt: skip
PLAN = make_plan(read_definitions([USER_STATS]), RegistryState({}))
DIFF = TrainingSetDiff(
    "churn", 1, 2, 100, 110, 0, 10, 100, 3, (), (), ("plan (string)",), (),
    (FeatureDiff("score", "double", 3, FeatureSummary(0, 0.5, 0.1), FeatureSummary(0.1, 0.6, 0.1)),),
)  # fmt: skip
SYNCED = SyncResult(
    "doc:text", "incremental", "by the feed", 3, 5, ("small",), 4, 3, 1, 100, 2, 90.0, 1.5, 2000.0, 0, 1
)
CERTIFICATE = ErasureCertificate(
    "e1", "acme", "user", ("user_id",), ("aa",), "2026-11-01T12:00:00+00:00", "0.1.0",
    (ErasedTable("values", "user_stats", 1, "/w/user_stats", 12, 3, 4, 2, 2048, 1),), ("/exports/a",), ("a table: busy",),
    ("backups",),
)  # fmt: skip
FINDINGS = Findings(
    [Finding(check="equals_label", severity="error", subject="temp", message=EVIL, advice="Leave it out")]
)


def in_terminal(value: Any, width: int = 100) -> str:
    """What rich prints, without the blanks at the ends of lines."""
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(value)
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")


def block(text: str) -> str:
    return text.strip("\n")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            USER_STATS,
            """
Feature group user_stats v1
entity        user
keys          user_id string
ttl           1w
nulls         skip
partition by  day
retention     none
sources       none: rows are written
owner         growth

  feature   type     rules              description
 ────────────────────────────────────────────────────────
  score     double   not_null           Of the last week
                     min 0
                     max 1
  plan      string   one of free, pro
""",
        ),
        (
            PLAN,
            """
Plan: 2 to create, 0 to update, 0 unchanged

  change     kind            name            what
 ────────────────────────────────────────────────────────────────────
  + create   entity          user
  + create   feature group   user_stats v1   keys: user_id string
                                             + feature score: double
                                             + feature plan: string
""",
        ),
        (
            WRITTEN,
            """
1,234 rows written, 2 rejected
batch          first
table version  7

  rejected because            rows   such as
 ──────────────────────────────────────────────────────
  score: greater than max 1      2   {"user_id":"bob"}
""",
        ),
        (
            SIMILAR,
            """
doc:text: 1 similar entity
model     small
valid at  2026-11-01 12:00:00Z
searched  delta, every vector was compared

  doc_id   similarity   event timestamp        lang
 ───────────────────────────────────────────────────
   12345       0.9877   2026-11-01 12:00:00Z   en
""",
        ),
        (
            DONE,
            """
user_stats over [2026-11-01T00:00:00Z, 2026-11-02T00:00:00Z): 10 rows written, 1 rejected
run            run-1
table version  3

  rejected because   rows
 ─────────────────────────
  score: null           1
""",
        ),
        (
            Listing([STATS], describe_stats),
            """
1 feature group: 1,234 rows, 5.1 MiB

                                                                                                        most often
  group            rows   entities   oldest            newest            files      size   last write   null
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
  user_stats v1   1,234         56   2026-11-01        2026-11-01            3   5.1 MiB                score 12.5%
                                     12:00:00Z         12:00:00Z
""",
        ),
        (
            Listing([RUN], describe_runs),
            """
1 run

  run            recorded at       job           group        window            state    written   rejected   error
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
  0123456789ab   2026-11-01        materialize   user_stats   2026-11-01        failed                        it broke
                 12:00:00Z                                    00:00:00Z to
                                                              2026-11-02
                                                              00:00:00Z
""",
        ),
        (
            DIFF,
            """
churn v1 -> v2
rows              100 -> 110
in both           100, of which 3 have other feature values
only in v1        0
only in v2        10
features removed  plan (string)

  feature   type     changed   v1                                   v2
 ───────────────────────────────────────────────────────────────────────────────────────────────────────
  score     double         3   missing 0.0%, mean 0.5, stddev 0.1   missing 10.0%, mean 0.6, stddev 0.1
""",
        ),
        (
            SYNCED,
            """
doc:text: 3 rows written, 1 deleted; 100 rows at version 5
incremental  by the feed
models       small
was behind   2 versions, 1.5 min
speed        2,000 rows a second, 0 graphs built
verified     1 row differed and is repaired now
""",
        ),
        (
            CERTIFICATE,
            """
Erasure e1: 12 rows removed
Removed /exports/a
Not searched yet: a table: busy
Out of reach: backups
entity       user (user_id)
entities     1
finished at  2026-11-01T12:00:00+00:00

  kind     name         version   rows   files removed   size removed
 ─────────────────────────────────────────────────────────────────────
  values   user_stats         1     12               2        2.0 KiB
""",
        ),
        (
            Listing([manifest()], describe_manifests),
            """
  training set   version   created at              rows   features   label   content hash
 ─────────────────────────────────────────────────────────────────────────────────────────
  delays               3   2026-11-01 12:00:00Z   1,200          2   late    c0ffee
""",
        ),
        (
            BackfillResult(
                "user_stats", (DONE, replace(DONE, state="unpublished", written=0, broken=("min_rows 5: 0",))), 2
            ),
            """
user_stats: 2 windows done, 2 were before; 10 rows written, 2 rejected

  group        window                               state         written   rejected   table version   not as expected
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
  user_stats   [2026-11-01T00:00:00Z,               succeeded          10          1               3
               2026-11-02T00:00:00Z)
  user_stats   [2026-11-01T00:00:00Z,               unpublished         0          1               3   min_rows 5: 0
               2026-11-02T00:00:00Z)
""",
        ),
    ],
)
def test_a_result_in_a_terminal(result: Displayed, text: str) -> None:
    assert in_terminal(result, 120) == block(text)


RESULTS: list[Displayed] = [
    USER_STATS,
    PLAN,
    Plan(()),
    WRITTEN,
    replace(WRITTEN, duplicate=True, failed=0, broken=("min_rows 5: 0",)),
    SIMILAR,
    replace(SIMILAR, matches=(), exact=False, source="postgres", synced_at=NOON, table_version=3),
    DONE,
    replace(DONE, state="skipped", run_id=None, table_version=None),
    replace(DONE, state="unpublished", broken=("min_rows 5: 0",), corrected=(DONE,)),
    BackfillResult("user_stats", (DONE,), 2),
    RUN,
    DIFF,
    SYNCED,
    CERTIFICATE,
    FINDINGS,
    Findings(()),
    manifest(description=EVIL, audit=tuple(FINDINGS), sample_size=3),
    ProfileResult((GroupProfile("user_stats", 1, 3, 7, 700),)),
    profiled(3),
    profiled(0),
    drifted(),
    EmbedResult(WRITTEN, 3, 4),
    FeatureValue("user_stats:score", None, NOON, NOON, 1),
    Listing([STATS, replace(STATS, null_shares=None, entities=None, oldest=None)], describe_stats),
    Listing([RUN, replace(RUN, window=None)], describe_runs),
    Listing([], describe_runs),
    Listing([manifest()], describe_manifests),
    Listing([USER_STATS], describe_groups),
    Listing([PlannedWindow(DAY, "missing"), PlannedWindow(DAY, "done")], describe_planned),
    Listing([RetentionResult("user_stats", 1, "2026-10-01", 5, 2048, 1, 3, False)], describe_retention),
    Listing([OptimizeResult("user_stats", 1, 9, 3, 0, 90, 9, 4096, 2048, 4, True)], describe_optimized),
    Listing([VacuumResult("/w/a", 3, 10, False), VacuumResult("/w/b", 0, 0, False)], describe_vacuumed),
    Listing([SYNCED], describe_synced),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_terminal_and_a_notebook_show_the_same(result: Displayed) -> None:
    html = result._repr_html_()
    described = result.display()

    assert faults_of(html, is_whole=False) == []
    in_notebook = "".join(Page(html).text.split())
    printed = "".join(in_terminal(result, 1000).split())
    texts = [described.title, *map(text_of, described.lines)]
    texts += [text_of(part) for fact in described.facts for part in fact]
    texts += [
        text_of(cell) for table in described.tables for row in table.rows for cell in row if "\n" not in text_of(cell)
    ]
    for text in texts:
        assert "".join(text.split()) in in_notebook
        assert "".join(text.split()) in printed


def test_values_are_text_in_a_notebook() -> None:
    group = USER_STATS.model_copy(update={"description": EVIL, "owner": '"><b>me</b>'})

    html = group._repr_html_()

    assert "<script" not in html
    assert "<b>" not in html
    assert EVIL in Page(html).text
    assert '"><b>me</b>' in Page(html).text
    assert "<script" not in FINDINGS._repr_html_()


def test_values_do_not_steer_a_terminal() -> None:
    rendered = as_rich(Display("\x1b[2Jtitle", facts=(("owner", "[bold]\x1b]0;x\x07me[/bold]"),)))

    printed = in_terminal(rendered)

    assert "\x1b" not in printed
    assert "[bold]" in printed


def test_a_long_table_is_cut_and_says_so() -> None:
    rows = tuple((number, f"row {number}") for number in range(1234))
    display = Display("Many", tables=(Table(("number", "name"), rows),))

    printed, html = in_terminal(as_rich(display)), as_html(display)

    assert printed.endswith("The first 50 of 1,234 rows.")
    assert "The first 50 of 1,234 rows." in Page(html).text
    assert len(Page(html).all("tr")) == 51
    assert "row 49" in html
    assert "row 50" not in html
    assert "row 1233" in in_terminal(as_rich(display, None))
    assert "row 1233" in as_html(display, None)


def test_numbers_are_right_aligned_and_marks_are_words() -> None:
    table = Table(
        ("n", "amount", "flag", "state"), ((1, Amount("1 B"), True, Mark("failed", "bad")), (None, None, False, None))
    )

    html = as_html(Display(tables=(table,)))

    assert [table.is_of_numbers(position) for position in range(4)] == [True, True, False, False]
    assert '<td class="number">1 B</td>' in html
    assert '<span class="bad">failed</span>' in html


def test_a_notebook_needs_nothing_else_and_keeps_its_own_colours() -> None:
    html = USER_STATS._repr_html_()

    assert "http" not in html
    assert "background" not in html
    # Each rule is of what is inside alone: a notebook has one style for all its outputs.
    rules = Page(html).styles.strip().splitlines()
    assert all(rule.startswith(".featurestore") for rule in rules)


def test_a_listing_is_a_list() -> None:
    listing = Listing([STATS, STATS], describe_stats)

    assert listing == [STATS, STATS]
    assert isinstance(listing, list)
    assert repr(listing) == repr([STATS, STATS])
    assert pd.DataFrame(listing)["rows"].tolist() == [1234, 1234]
    for same in (copy.deepcopy(listing), pickle.loads(pickle.dumps(listing))):
        assert (same, same.display()) == (listing, listing.display())


def test_findings_are_a_tuple() -> None:
    assert tuple(FINDINGS) == FINDINGS
    assert Findings(()) == ()
    assert pickle.loads(pickle.dumps(FINDINGS)).display() == FINDINGS.display()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (USER_STATS, "FeatureGroup('user_stats', version=1, features=['score', 'plan'])"),
        (PLAN, "Plan(2 to create, 0 to update, 0 unchanged)"),
        (SIMILAR, "SimilarEntities('doc:text', 1 match, at='2026-11-01 12:00:00Z')"),
        (manifest(), "Manifest('delays', version=3, rows=1200, label='late')"),
        (profiled(3), "ProfiledGroup('user_stats', version=1, dates=3)"),
        (
            drifted(),
            "DriftResult('user_stats', '2026-09-01/2026-10-01' -> '2026-10-24/2026-10-31', drifted=2, warning=0, ok=6)",
        ),
        (
            FeatureValue("doc:text", [0.5] * 1536, NOON, NOON, 1),
            "FeatureValue('doc:text', [0.5, 0.5, 0.5, ... 1536 in all], event_timestamp='2026-11-01 12:00:00Z')",
        ),
    ],
)
def test_a_repr_is_short(value: object, text: str) -> None:
    assert repr(value) == text


@pytest.mark.parametrize("result", [USER_STATS, manifest(), profiled(3)], ids=lambda result: type(result).__name__)
def test_printed_objects_are_short_too(result: Displayed) -> None:
    assert str(result) == repr(result)


def test_an_empty_table_is_mentioned_once() -> None:
    """By the title where it counts, else by the table; with its caption, in a terminal as in a notebook."""
    empty = Table(("group", "rows"), ())

    assert in_terminal(as_rich(Display("0 groups", tables=(empty,)))) == "0 groups"
    assert in_terminal(as_rich(Display(tables=(empty,)))) == "No rows."
    assert (
        in_terminal(as_rich(Display("stats", tables=(replace(empty, caption="Left out"),))))
        == "stats\nLeft out: No rows."
    )
    assert "No rows" not in as_html(Display("0 groups", tables=(empty,)))
    assert "<p>Left out: No rows.</p>" in as_html(Display("stats", tables=(replace(empty, caption="Left out"),)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (12345, "12345"),
        (0.1234567890123, "0.1234567890123"),
        (NOON.astimezone(), "2026-11-01 12:00:00Z"),
        (NOON.replace(tzinfo=None), "2026-11-01 12:00:00"),
        (date(2026, 11, 1), "2026-11-01"),
        ({"user_id": 12345, "seen": NOON}, "user_id=12345, seen=2026-11-01 12:00:00Z"),
        ([1.0, 2.0], "[1.0, 2.0]"),
        (tuple(range(9)), "[0, 1, 2, ... 9 in all]"),
        (count(1234567), "1,234,567"),
        (count(None), ""),
        (share(0.125), "12.5%"),
        (size(1023), "1023 B"),
        (size(1536), "1.5 KiB"),
        (size(3 * 1024**5), "3072.0 TiB"),
        (utc_text(datetime(2026, 11, 1, 8, tzinfo=UTC).astimezone()), "2026-11-01 08:00:00Z"),
        (counted(1, "row"), "1 row"),
        (counted(2, "entity", "entities"), "2 entities"),
    ],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_a_title_begins_with_its_subject() -> None:
    assert WRITTEN.display().about("user_stats").title == "user_stats: 1,234 rows written, 2 rejected"


def test_an_object_without_a_description_is_not_displayed() -> None:
    with pytest.raises(NotImplementedError):
        Displayed().display()
