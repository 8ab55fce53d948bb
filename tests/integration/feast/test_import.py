"""A Feast project becomes definitions here, which give the same answers, and what has no counterpart is said."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import feast
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import BigQuerySource, Entity, FeatureService, FeatureView, Field, FileSource, PushSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bytes, Float32, Float64, Int64, String

from featurestore import FeatureStore, Settings
from featurestore.cli import run
from featurestore.definitions.sets.yaml_files import load_definitions
from featurestore.errors import DefinitionError, InvalidArgumentError, NotFoundError
from featurestore.feast import import_repo
from tests.integration.feast.conftest import HOUR, START, feast_store

INSTANT = pa.timestamp("us", "UTC")


@pytest.fixture
def project(tmp_path: Path) -> feast.FeatureStore:
    pq.write_table(
        pa.table(
            {
                "id": [1, 1, 2],
                "at": pa.array([START, START + 2 * HOUR, START + HOUR], INSTANT),
                "seen": pa.array([START + HOUR, START + 3 * HOUR, START + HOUR], INSTANT),
                "conv_rate": pa.array([0.5, None, 0.25], pa.float32()),
                "Words": [["a"], [], None],
                "raw": [b"", b"", b""],
            }
        ),
        tmp_path / "stats.parquet",
    )
    store = feast_store(tmp_path)
    driver = Entity(name="Driver", join_keys=["driver_id"], value_type=feast.ValueType.INT64, description="who drives")
    source = FileSource(
        name="stats",
        path="stats.parquet",
        timestamp_field="at",
        created_timestamp_column="seen",
        field_mapping={"id": "driver_id"},
    )
    far = BigQuerySource(name="far", table="p.d.t", timestamp_field="at")
    schema = [
        Field(name="driver_id", dtype=Int64),
        Field(name="conv_rate", dtype=Float32, description="share of orders"),
        Field(name="Words", dtype=Array(String)),
        Field(name="words", dtype=Array(String)),
        Field(name="raw", dtype=Bytes),
    ]
    view = FeatureView(
        name="Driver-stats",
        entities=[driver],
        ttl=timedelta(hours=4),
        schema=schema,
        source=PushSource(name="pushed", batch_source=source),
        owner="ops",
        tags={"team": "rides"},
    )
    elsewhere = FeatureView(name="far", entities=[driver], schema=schema[:2], source=far)
    town = FeatureView(name="town", entities=[], schema=[Field(name="conv_rate", dtype=Float32)], source=source)

    @on_demand_feature_view(sources=[view], schema=[Field(name="twice", dtype=Float64)])
    def doubled(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": rows["conv_rate"] * 2})

    service = FeatureService(name="ranking", features=[view[["conv_rate"]]])
    store.apply([driver, view, elsewhere, town, doubled, service])
    return store


def test_imported_groups_answer_as_feast_does(project: feast.FeatureStore, tmp_path: Path) -> None:
    imported = import_repo(tmp_path)

    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "feast.yml").write_text(imported.text)
    fs = FeatureStore.open(Settings(warehouse=str(tmp_path / "warehouse")), clock=lambda: START + 9 * HOUR)
    fs.apply(tmp_path / "conf")
    entity_df = pd.DataFrame(
        {"driver_id": [1, 1, 2, 3], "event_timestamp": [START + hours * HOUR for hours in (1, 3, 5, 1)]}
    )
    asked = project.get_historical_features(
        entity_df=entity_df, features=["Driver-stats:conv_rate", "Driver-stats:Words"]
    )
    found = fs.tenant("acme").get_point_in_time(
        pa.Table.from_pandas(entity_df), ["driver_stats:conv_rate", "driver_stats:words"]
    )

    group = imported.groups["Driver-stats"]
    assert (group.name, group.entity.name, group.owner, group.tags) == (
        "driver_stats",
        "driver",
        "ops",
        ("team=rides",),
    )
    assert found.column("conv_rate").to_pylist() == asked.to_arrow().column("conv_rate").to_pylist()
    assert found.column("words").to_pylist() == asked.to_arrow().column("Words").to_pylist()
    assert found.column("conv_rate").to_pylist() == [0.5, None, 0.25, None]


def test_what_has_no_counterpart_is_said(project: feast.FeatureStore, tmp_path: Path) -> None:
    notes = import_repo(tmp_path, tenant_column="org").notes

    assert set(notes) == {
        "feature view Driver-stats, feature raw",
        "feature view Driver-stats, feature words",
        "feature view Driver-stats, push source pushed",
        "feature view far",
        "feature view town",
        "on-demand view doubled",
        "feature service ranking",
    }
    assert "'words', is that of 'Words'; rename one" in notes["feature view Driver-stats, feature words"]
    assert "append the rows to the batch source" in notes["feature view Driver-stats, push source pushed"]
    assert "which no feature type holds" in notes["feature view Driver-stats, feature raw"]
    assert "is a BigQuerySource" in notes["feature view far"]
    assert "it has no entity" in notes["feature view town"]
    assert "derived feature for each of its features (twice)" in notes["on-demand view doubled"]
    assert "driver_stats:conv_rate" in notes["feature service ranking"]


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no feature_store\.yaml"):
        import_repo(tmp_path)


def test_a_project_without_views_is_refused(tmp_path: Path) -> None:
    feast_store(tmp_path)

    with pytest.raises(DefinitionError, match=r"nothing of this project can be imported\. it has no feature views"):
        import_repo(tmp_path)


def test_the_command_writes_a_file_and_says_what_it_left_out(
    project: feast.FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "conf"
    assert run(["import-feast", str(tmp_path), "--tenant-column", "org", "--conf", str(conf), "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(conf / "features" / "feast.yml")
    assert document["groups"] == {"Driver-stats": "driver_stats"}
    assert "feature view far" in document["without_counterpart"]
    [group] = load_definitions(conf / "features").feature_groups
    assert group.in_place.source.tenant_column == "org"

    before = (conf / "features" / "feast.yml").read_text()
    assert run(["import-feast", str(tmp_path), "--shared", "--conf", str(conf)]) == InvalidArgumentError.exit_code
    assert "is there already; name another file with --into" in capsys.readouterr().err
    assert (conf / "features" / "feast.yml").read_text() == before

    other = tmp_path / "other.yml"
    assert run(["import-feast", str(tmp_path), "--shared", "--into", str(other)]) == 0
    shown = capsys.readouterr().out
    assert "driver_stats │ conv_rate, words" in shown
    assert "feature view town" in shown
    assert f"Written to {other}" in shown


@pytest.mark.parametrize("options", [[], ["--shared", "--tenant-column", "org"]])
def test_the_command_asks_whose_rows_they_are(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["import-feast", str(tmp_path), *options]) == 2

    assert "--tenant-column / --shared" in capsys.readouterr().err


def test_what_a_definition_does_not_name_is_said(project: feast.FeatureStore, tmp_path: Path) -> None:
    view = project.get_feature_view("Driver-stats")
    view.batch_source.file_options.s3_endpoint_override = "http://127.0.0.1:9000"
    project.apply(view)

    notes = import_repo(tmp_path).notes

    assert "AWS_ENDPOINT_URL" in notes["feature view Driver-stats, access to its source"]


def test_join_keys_that_would_be_one_here_are_not_imported(project: feast.FeatureStore, tmp_path: Path) -> None:
    keys = [Entity(name=name, join_keys=[name], value_type=feast.ValueType.INT64) for name in ("rider_id", "Rider-ID")]
    schema = [Field(name=name, dtype=Int64) for name in ("rider_id", "Rider-ID", "n")]
    source = FileSource(name="two", path="stats.parquet", timestamp_field="at")
    project.apply([*keys, FeatureView(name="two", entities=keys, schema=schema, source=source)])

    notes = import_repo(tmp_path).notes

    assert "have the same names here (rider_id); rename one" in notes["feature view two"]
