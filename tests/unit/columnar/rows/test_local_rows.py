"""Odd Python objects and pandas columns: a bad value is a reason on its own row, never an error of its own."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from featurestore import Entity, Feature, FeatureGroup
from featurestore.columnar.rows.local_rows import arrow_from_dicts, arrow_from_pandas
from featurestore.columnar.rows.names import FAULTS, ROW
from featurestore.errors import SchemaError

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
GROUP = FeatureGroup(
    "stats",
    Entity("user", join_keys={"user_id": "string"}),
    features=[Feature("n", "long"), Feature("s", "string"), Feature("x", "double"), Feature("j", "json")],
)


class Unbound:
    """Asking for its class raises, as for a proxy of nothing."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError


class UnboundValue(Unbound):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ValueError


class OddFloat(float):
    def __ne__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = float.__hash__


class OddText(str):
    def __getitem__(self, key: Any) -> str:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = str.__hash__


def from_pandas(**columns: Any) -> pa.Table:
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({"user_id": ["u"] * rows, "event_timestamp": [NOON] * rows, **columns})
    return arrow_from_pandas(frame, GROUP, None)


def reasons(table: pa.Table) -> list[list[str]]:
    return [[fault["reason"] for fault in of_row] for of_row in table[FAULTS].to_pylist()]


@pytest.mark.parametrize("kind", [Unbound, UnboundValue])
@pytest.mark.parametrize("column", ["n", "s", "x", "j"])
def test_an_object_that_tells_no_class_is_a_reason_on_its_row(column: str, kind: type) -> None:
    odd = kind()
    row = {"user_id": "u", "event_timestamp": NOON}
    from_dicts = arrow_from_dicts([row, row | {column: odd}, row | {column: None}], GROUP, None)
    for table in (from_dicts, from_pandas(**{column: pd.Series([None, odd, None], dtype=object)})):
        assert [len(of_row) for of_row in reasons(table)] == [0, 1, 0]
        assert table[column].null_count == 3
        assert f'"{column}":"<{kind.__name__}>"' in table[ROW][1].as_py()


def test_a_row_or_a_key_that_tells_no_class() -> None:
    row = {"user_id": "u", "event_timestamp": NOON}
    table = arrow_from_dicts([Unbound(), row | {Unbound(): 1}, row], GROUP, None)
    assert reasons(table)[2] == []
    assert [of_row[0] for of_row in reasons(table)[:2]] == ["not readable as a mapping (RuntimeError)"] * 2
    assert table[ROW][0].as_py() == '"<Unbound>"'
    assert '"<Unbound>":1' in table[ROW][1].as_py()


def test_keys_of_another_class_of_text() -> None:
    row = {"user_id": "u", "event_timestamp": NOON, OddText("n"): 3}
    table = arrow_from_dicts([row, row | {OddText("zz"): 1}], GROUP, None)
    assert table["n"].to_pylist() == [3, 3]
    assert [len(of_row) for of_row in reasons(table)] == [0, 1]
    assert reasons(table)[1][0].startswith("zz: not a column of the group.")


def test_a_float_of_another_class_is_read() -> None:
    table = from_pandas(x=pd.Series([OddFloat(1.5), OddFloat("nan"), np.float32("nan")], dtype=object))
    assert table["x"].to_pylist() == [1.5, None, None]
    assert reasons(table) == [[], [], []]


def test_categories_that_arrow_cannot_write() -> None:
    texts = pd.array(["\ud800", "b", None], dtype="string[python]")
    table = from_pandas(s=pd.Series(pd.Categorical(texts)))
    assert table["s"].to_pylist() == [None, "b", None]
    assert reasons(table) == [["not valid Unicode text"], [], []]
    with pytest.raises(SchemaError, match="column 'n' is string"):
        from_pandas(n=pd.Series(pd.Categorical(texts)))


def test_string_views_in_pandas() -> None:
    view = pd.ArrowDtype(pa.string_view())
    table = from_pandas(s=pd.Series(["a", None], dtype=view), n=pd.Series([1, "x"], dtype=object))
    assert table["s"].to_pylist() == ["a", None]
    assert '"s":null,"n":"x"' in table[ROW][1].as_py()


@pytest.mark.parametrize("kind", [">i8", ">i2", ">u4"])
def test_numbers_of_another_byte_order(kind: str) -> None:
    table = from_pandas(n=pd.Series(np.array([1, 2], kind)), x=pd.Series(np.array([0.5, np.nan], ">f8")))
    assert table["n"].to_pylist() == [1, 2]
    assert table["x"].to_pylist() == [0.5, None]
