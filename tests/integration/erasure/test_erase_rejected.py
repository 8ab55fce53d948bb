"""Rejected rows keep their text as it came: an erasure finds a key in it in any spelling, and it does not come back."""

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from featurestore import Entity, Feature, FeatureGroup, OfflineStore
from featurestore.errors import BatchConflictError
from featurestore.frames.rows.suppression import REASON
from featurestore.operations.context import Scope
from featurestore.operations.erasure.runs import ERASED_ERROR
from featurestore.operations.job_run import recorded_run
from featurestore.stores.small_tables.suppression import SECRET
from tests.byte_search import found_in
from tests.conftest import Clock, OpenFeatureStore

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORDER = Entity("order", join_keys={"buyer": "string", "number": "long"})
ORDERS = FeatureGroup("orders", ORDER, features=[Feature("amount", "double", max=100), Feature("note", "string")])
ZOE, OTHER_ZOE = 'Zoë "the\'O" 😀', unicodedata.normalize("NFD", 'Zoë "the\'O" 😀')
ERASED = [{"buyer": ZOE, "number": 7654321}, {"buyer": "erika", "number": 5550001}]
MARKERS = [ZOE, json.dumps(ZOE)[1:-1], json.dumps(ZOE, ensure_ascii=False)[1:-1], "7654321", "erika", "5550001"]


def row(buyer: Any, number: Any, amount: float, **more: Any) -> dict[str, Any]:
    return {"buyer": buyer, "number": number, "event_timestamp": NOW, "amount": amount, **more}


THEIRS = [
    row(ZOE, 7654321, 1.0),
    row(ZOE, 7654321.0, 500.0),
    row([ZOE], 7654321, 1.0),
    row(ZOE, " 7654321", 1.0),
    row({"buyer": {"name": ZOE}}, [7654321], 1.0),
    row(None, 5550001, 1.0, note="ordered by erika"),
    row(ZOE, 7654321, 1.0, unknown=json.dumps({"buyer": ZOE, "number": 7654321})),
    row("erika", "5.550001e6", 1.0),
    row(b"erika", None, 1.0, note="5550001"),
]
OTHERS = [
    row(OTHER_ZOE, 1, 1.0),
    row(OTHER_ZOE, 1, 500.0),
    row(["max"], 2, 1.0),
    row(None, 3, 1.0, note="ordered by max"),
]


@pytest.fixture
def store(open_feature_store: OpenFeatureStore) -> OfflineStore:
    fs = open_feature_store(Clock(NOW))
    fs._context.environ = {SECRET: "a secret that nobody guesses"}
    fs.apply([ORDERS])
    return fs.tenant("acme")


@pytest.mark.slow
def test_a_key_in_any_spelling_is_erased_with_its_rejected_row_and_stays_out(store: OfflineStore) -> None:
    root, markers = Path(store._scope.context.settings.warehouse), [marker.encode() for marker in MARKERS]
    assert store.write_batch("orders", [*THEIRS, *OTHERS], batch_id="first").written == 2
    with (
        pytest.raises(ValueError, match="cannot be cast"),
        recorded_run(Scope(store._scope.context, "acme"), "materialize"),
    ):
        raise ValueError("'erika' and '5550001' cannot be cast")
    assert found_in(root, *markers)

    certificate = store.erase("order", ERASED)

    assert found_in(root, *markers) == []
    assert {table.kind: table.rows for table in certificate.tables} == {
        "values": 1, "rejected": len(THEIRS) - 1, "runs": 1,
    }  # fmt: skip
    assert certificate.left == ()
    assert [place.partition(":")[0] for place in certificate.out_of_reach] == [
        "what people wrote", "what was taken out of the store",
    ]  # fmt: skip
    left = [json.loads(rejected["row"]) for rejected in store.rejected("orders").collect()]
    assert sorted((str(row["buyer"]), row["number"]) for row in left) == [("None", 3), (OTHER_ZOE, 1), ("['max']", 2)]
    assert [run.error for run in store.latest_runs() if run.state == "failed"] == [ERASED_ERROR]

    # The batch is the same when it comes again, as it was or without whom was erased; with other rows it is another.
    for retry in ([*THEIRS, *OTHERS], OTHERS):
        again = store.write_batch("orders", retry, batch_id="first")
        assert (again.duplicate, again.written, again.failed) == (True, 2, 11)
    for other in ([*OTHERS, row("max", 4, 1.0)], [*OTHERS, row("max", 4, 500.0)]):
        with pytest.raises(BatchConflictError, match="was used before"):
            store.write_batch("orders", other, batch_id="first")
    fresh = store.write_batch("orders", [*THEIRS, *OTHERS], batch_id="fresh")
    assert (fresh.written, fresh.failed, fresh.errors[REASON]) == (1, 12, len(THEIRS))
    assert found_in(root, *markers) == []
