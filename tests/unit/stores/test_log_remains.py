"""What the names in a table's log say of commits that were lost."""

from __future__ import annotations

import pytest

from featurestore.stores.delta.log_remains import lost_commit


def at(version: int, kind: str = "json") -> str:
    return f"{version:020d}.{kind}"


@pytest.mark.parametrize(
    ("names", "lost"),
    [
        ([], None),
        (["_staged_commits", "_last_checkpoint"], None),
        ([at(0), at(1), at(1, "crc")], None),
        # The checksum is written after the commit, and not of every one.
        ([at(0), at(1), at(0, "crc")], None),
        ([at(7), at(5, "checkpoint.parquet"), at(6, "crc")], None),
        ([at(0), at(1, "crc")], at(1)),
        ([at(0), at(3, "crc")], at(1)),
        ([at(0), f".{at(1)}.crc"], at(1)),
        ([at(0), at(5, "checkpoint.0000000001.0000000002.parquet")], at(1)),
        ([at(5, "checkpoint.80a083e8.parquet")], at(0)),
        # Of the temporary files that writers leave nothing follows.
        ([at(0), f".{at(1)}.80a083e8.tmp", "notes.crc"], None),
    ],
)
def test_traces_of_newer_commits_than_the_newest_say_that_some_are_lost(names: list[str], lost: str | None) -> None:
    assert lost_commit(names) == lost
