"""What Java, Ivy and Spark print, in the real process of a command: it is in a log file, and an error names the file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from featurestore.config import Settings
from featurestore.errors import ConfigurationError
from tests.processes import commands
from tests.processes.quick_spark import QUICK
from tests.settings_folder import write_settings_folder

DEFINITIONS = """
entities: [{name: user, join_keys: {user_id: string}}]
feature_groups:
  - name: visits
    entity: user
    features: [{name: visits, type: long}]
    sources: {landed: {path: "{landing}/landed", format: csv, options: {header: "true"}, shared: true}}
    transformation:
      sql: >-
        SELECT user_id, count(*) AS visits FROM landed
        WHERE CAST(at AS TIMESTAMP) >= :start_time AND CAST(at AS TIMESTAMP) < :end_time GROUP BY user_id
"""
WINDOW = ("--start", "2026-11-01T00:00:00Z", "--end", "2026-11-02T00:00:00Z")
NOTHING_FOR_IVY = """
<ivysettings>
  <settings defaultResolver="here"/>
  <resolvers><filesystem name="here"><artifact pattern="{folder}/[artifact].[ext]"/></filesystem></resolvers>
</ivysettings>
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with settings, and a group whose source is landed."""
    write_settings_folder(tmp_path / "conf", warehouse="warehouse", landing="landing", spark_log="messages")
    (tmp_path / "conf" / "features").mkdir()
    (tmp_path / "conf" / "features" / "visits.yml").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "landing" / "landed").mkdir(parents=True)
    (tmp_path / "landing" / "landed" / "day.csv").write_text("user_id,at\nann,2026-11-01T08:00:00Z\n", encoding="utf-8")
    return tmp_path


def command(project: Path, *words: str, **properties: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own; ``properties`` are Spark's, with an underscore for each dot."""
    spark = QUICK | {"spark.master": "local[1]"} | {name.replace("_", "."): text for name, text in properties.items()}
    return commands.command(project, *words, "--tenant", "acme", spark=spark)


@pytest.mark.slow
def test_a_command_prints_its_own_lines_alone_with_and_without_spark(project: Path) -> None:
    assert command(project, "apply", "conf/features").returncode == 0

    done = command(project, "materialize", "visits", *WINDOW)
    stats = command(project, "stats")

    assert done.returncode == 0, done.stderr
    first, *facts = done.stdout.splitlines()
    assert first == "visits over [2026-11-01T00:00:00Z, 2026-11-02T00:00:00Z): 1 row written, 0 rejected"
    assert [fact.split("  ")[0] for fact in facts] == ["run", "table version"]
    assert done.stderr.splitlines() == [
        "Materializing visits over [2026-11-01T00:00:00Z, 2026-11-02T00:00:00Z) ...",
        "Starting Spark ...",
    ]
    [log] = (project / "messages").iterdir()
    assert "log4j" in log.read_text()
    assert "visits" in stats.stdout
    assert stats.stderr == ""


@pytest.mark.slow
def test_a_command_in_which_spark_fails_names_the_log_once(project: Path) -> None:
    (project / "landing" / "landed" / "day.csv").write_text("user_id,at\nann,soon\n", encoding="utf-8")
    assert command(project, "apply", "conf/features").returncode == 0

    failed = command(project, "materialize", "visits", *WINDOW)

    [log] = (project / "messages").iterdir()
    assert failed.returncode != 0
    assert failed.stderr.count(str(log)) == 1
    assert failed.stderr.splitlines()[-1] == f"Spark's messages are in {log}"


@pytest.mark.parametrize(
    ("property_name", "text", "cause"),
    [
        ("spark_driver_memory", "12x", "Invalid maximum heap size"),
        ("spark_jars_ivySettings", "{project}/ivy.xml", "unresolved dependency: io.delta"),
        ("spark_master", "nowhere", "Master must either be"),
    ],
)
def test_a_java_that_does_not_start_is_an_error_with_the_cause_and_the_log(
    project: Path, property_name: str, text: str, cause: str
) -> None:
    (project / "ivy.xml").write_text(NOTHING_FOR_IVY.format(folder=project), encoding="utf-8")
    properties = {property_name: text.format(project=project), "spark_jars_ivy": str(project / "ivy")}
    assert command(project, "apply", "conf/features").returncode == 0

    failed = command(project, "materialize", "visits", *WINDOW, **properties)

    [log] = (project / "messages").iterdir()
    assert failed.returncode == 16
    error = next(line for line in failed.stderr.splitlines() if line.startswith("Error: Spark did not start: "))
    assert cause in error
    assert error.endswith(f"Spark's messages are in {log}")
    assert failed.stderr.count(str(log)) == 1
    assert "Traceback" not in failed.stderr


def test_a_log_is_a_folder_of_this_machine_or_stderr(tmp_path: Path) -> None:
    assert Settings(spark_log="stderr").spark_log == "stderr"
    assert Settings(spark_log=str(tmp_path)).spark_log == str(tmp_path)
    with pytest.raises(ConfigurationError, match="is not a folder of this machine; give one, or 'stderr'"):
        Settings(spark_log="s3a://bucket/logs")
