"""Settings: base, profile, environment, each over the one before; secrets only from the environment, never shown."""

from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest

from featurestore import FeatureStore, Settings
from featurestore.config import from_environment
from featurestore.errors import ConfigurationError

SECRET = "postgresql://writer:hunter2@db.example.org/vectors"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    folder.mkdir()
    write(folder, base="warehouse: warehouse\nspark: {a: 1, b: base}\n", dev="spark: {b: dev}\n", prod="{}\n")
    return folder


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")


# Layers.


def test_a_profile_overrides_the_base_and_the_environment_overrides_both(conf: Path) -> None:
    write(
        conf,
        base="warehouse: a\nlanding: a\noutput: a\ntimestamp_zone: UTC\nspark: {a: base, b: base, c: base}\n",
        prod="landing: b\noutput: b\nspark: {b: prod, c: prod}\n",
    )
    environ = {"FEATURESTORE_OUTPUT": "/c", "FEATURESTORE_SPARK": '{"c": "environment", "d": 4}'}

    settings = Settings.load(conf, environ, profile="prod")

    assert settings == Settings(
        warehouse=str(conf.parent / "a"),
        landing=str(conf.parent / "b"),
        output="/c",
        timestamp_zone="UTC",
        spark={"a": "base", "b": "prod", "c": "environment", "d": "4"},
    )


@pytest.mark.parametrize(
    ("argument", "environ", "chosen"),
    [
        (None, {}, "dev"),
        (None, {"FEATURESTORE_PROFILE": "prod"}, "base"),
        ("dev", {"FEATURESTORE_PROFILE": "prod"}, "dev"),
    ],
)
def test_the_profile_is_the_argument_else_the_environments_else_dev(
    conf: Path, argument: str | None, environ: dict[str, str], chosen: str
) -> None:
    assert Settings.load(conf, environ, argument).spark["b"] == chosen


def test_spark_properties_are_text_as_spark_writes_it(conf: Path) -> None:
    write(conf, dev="spark: {adaptive: true, eager: false, cores: 4, share: 0.5, size: 2g}\n")

    assert Settings.load(conf, {}).spark == {
        "a": "1",
        "b": "base",
        "adaptive": "true",
        "eager": "false",
        "cores": "4",
        "share": "0.5",
        "size": "2g",
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [("store", "{parent}/store"), ("/data/store", "/data/store"), ("s3a://bucket/store", "s3a://bucket/store")],
)
def test_folders_are_relative_to_the_folder_that_holds_conf(conf: Path, written: str, meant: str) -> None:
    write(conf, dev=f"warehouse: {written}\n")

    assert Settings.load(conf, {}).warehouse == meant.format(parent=conf.parent)


def test_folders_in_the_environment_are_relative_to_the_working_directory(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Settings.load(conf, {"FEATURESTORE_WAREHOUSE": "here"}).warehouse == str(tmp_path / "here")


def test_other_variables_are_ignored() -> None:
    assert from_environment({"PATH": "/bin", "FEATURESTORE_PROFILE": "prod", "FEATURESTORE_TENANT": "x"}) == {}


def test_an_error_suggests_the_nearest_name_for_a_misspelt_variable() -> None:
    with pytest.raises(
        ConfigurationError, match=r"FEATURESTORE_WAREHUOSE is not known\. Did you mean 'FEATURESTORE_WAREHOUSE'"
    ):
        from_environment({"FEATURESTORE_WAREHUOSE": "s3a://b/w"})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().warehouse = "other"  # type: ignore[misc]


def test_the_projects_own_profiles_can_be_read() -> None:
    conf = Path(__file__).parents[2] / "conf"

    assert Settings.load(conf, {}, "dev").warehouse == str(conf.parent / "output" / "warehouse")
    assert Settings.load(conf, {"FEATURESTORE_WAREHOUSE": "s3a://b/w"}, "prod").warehouse == "s3a://b/w"


# Secrets.


def test_a_secret_comes_from_the_environment_and_is_never_shown(conf: Path) -> None:
    settings = Settings.load(conf, {"FEATURESTORE_POSTGRES_DSN": SECRET})

    assert settings.postgres_dsn is not None
    assert settings.postgres_dsn.get_secret_value() == SECRET
    for text in (repr(settings), str(settings), f"{settings}", str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in text


@pytest.mark.parametrize("setting", ["postgres_dsn", "postgres_app_dsn"])
def test_a_secret_in_a_file_is_refused_and_not_shown(conf: Path, setting: str) -> None:
    write(conf, dev=f"{setting}: {SECRET}\n")

    message = rf"dev\.yml.*remove them and set FEATURESTORE_{setting.upper()}"
    with pytest.raises(ConfigurationError, match=message) as raised:
        Settings.load(conf, {})

    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"postgres_dsn": ["hunter2"]},
        {"postgres_dsn": "hunter2", "warehous": "x"},
        {"postgres_dsn": "hunter2", "timestamp_zone": "Mars"},
    ],
)
def test_an_error_next_to_a_secret_does_not_show_it(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings(**fields)

    assert "hunter2" not in "".join(format_exception(raised.value))


def test_a_broken_file_that_holds_a_secret_does_not_show_it(conf: Path) -> None:
    write(conf, dev="postgres_dsn: 'hunter2\n")

    with pytest.raises(ConfigurationError, match=r"dev\.yml:2 is not YAML") as raised:
        Settings.load(conf, {})

    assert "hunter2" not in "".join(format_exception(raised.value))


# Faults.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warehous": "x"}, "setting 'warehous' is not known. Did you mean 'warehouse'"),
        ({"timestamp_zone": "Mars/Olympus"}, "setting 'timestamp_zone': time zone 'Mars/Olympus' is not known; write one"),
        ({"timestamp_zone": "../../etc/passwd"}, "setting 'timestamp_zone': time zone .* is not known"),
        ({"timestamp_zone": ""}, "setting 'timestamp_zone': time zone '' is not known"),
        ({"catalog": "a.b.c"}, "setting 'catalog': "),
        ({"postgres": "elsewhere"}, "setting 'postgres': Input should be 'embedded' or 'external'"),
        ({"search_timeout": 0}, "setting 'search_timeout': "),
        ({"catalog": "a b"}, "setting 'catalog': "),
        ({"spark": ["a"]}, "setting 'spark': "),
        ({"spark": {"a": None}}, "setting 'spark.a': "),
        ({"spark": {"a": {"b": 1}}}, "setting 'spark.a': "),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings(**fields)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("base", "- a\n", r"base\.yml: expected settings as 'name: value' lines"),
        ("base", "a: [\n", r"base\.yml:2 is not YAML"),
        ("dev", "warehous: x\n", "setting 'warehous' is not known"),
        ("dev", "a: \x00\n", r"dev\.yml is not YAML"),
        ("dev", "spark: local\n", "setting 'spark': "),
    ],
)
def test_a_wrong_file_is_named(conf: Path, file: str, text: str, message: str) -> None:
    write(conf, **{file: text})

    with pytest.raises(ConfigurationError, match=message):
        Settings.load(conf, {})


@pytest.mark.parametrize(
    ("value", "message"),
    [("local[2]", "FEATURESTORE_SPARK is not JSON"), ("[1]", "FEATURESTORE_SPARK must be a JSON object .* found list")],
)
def test_a_wrong_variable_is_named(conf: Path, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings.load(conf, {"FEATURESTORE_SPARK": value})


def test_an_error_lists_the_profiles_for_an_unknown_one(conf: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"profile 'prd': there is no .*prd\.yml\. Did you mean 'prod'"):
        Settings.load(conf, {}, "prd")


def test_a_folder_without_settings_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"base\.yml is missing; give the folder that holds base\.yml, or Set"):
        Settings.load(tmp_path, {})


def test_opening_with_nothing_to_open_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match=r"no conf/base\.yml here and FEATURESTORE_WAREHOUSE is not set"):
        FeatureStore.open(environ={})
