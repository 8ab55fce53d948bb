"""``make`` on a machine with a given Java and a given Python.

The PATH holds only the tools that the scripts need and stand-ins for ``java`` and ``python3``. The stand-in for Python
makes a ``.venv`` whose own Python writes down each call, so that a test sees what would have been installed, and when.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from featurestore.session import SUPPORTED_JAVA

PROJECT = Path(__file__).parents[3]
TOOLS = (
    "awk",
    "cat",
    "cksum",
    "dirname",
    "find",
    "kill",
    "ln",
    "make",
    "mkdir",
    "readlink",
    "rm",
    "sed",
    "sh",
    "sleep",
)

# Knows what the scripts ask of a Python; its -m venv makes a .venv with itself in it.
PYTHON = """#!/bin/sh
echo "$0 $*" >>"$CALLS"
case "$*" in
    *'sys.version_info'*) exit {too_old} ;;
    --version) echo 'Python {version}' ;;
    *'import ensurepip'*) exit {no_venv} ;;
    '-m venv --clear'*) rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    '-m venv'*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    '-m pip --version') [ -e .venv/bin/python ] ;;
    '-m pip install'*) sleep "${{PIP_SECONDS:-0}}"; exit "${{PIP_EXIT:-0}}" ;;
    '-m featurestore doctor'*) exit "${{DOCTOR_EXIT:-0}}" ;;
esac
"""


class Machine:
    """A fresh clone in a folder of its own, and a PATH with just what a machine has."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "clone"
        self.bin = folder / "bin"
        self.log = folder / "calls"
        (self.clone / "deploy").mkdir(parents=True)
        self.bin.mkdir()
        for file in ("Makefile", "deploy/environment.sh", "pyproject.toml", "constraints.txt"):
            shutil.copy(PROJECT / file, self.clone / file)
        for tool in (*TOOLS, "cp"):
            path = shutil.which(tool)
            if path is not None:  # kill is a builtin of the shell on some systems
                (self.bin / tool).symlink_to(path)

    def has(self, name: str, script: str) -> Machine:
        (self.bin / name).write_text(script, encoding="utf-8")
        (self.bin / name).chmod(0o755)
        return self

    def has_java(self, banner: str) -> Machine:
        return self.has("java", f"#!/bin/sh\ncat >&2 <<'END'\n{banner}\nEND\n")

    def has_python(self, version: str = "3.11.7", too_old: bool = False, no_venv: bool = False) -> Machine:
        return self.has("python3", PYTHON.format(version=version, too_old=int(too_old), no_venv=int(no_venv)))

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "CALLS": str(self.log)}

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments],
            cwd=self.clone,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, containing: str) -> list[str]:
        """The calls of any Python so far that contain a text."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [line for line in lines if containing in line]


JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def good_machine(machine: Machine) -> Machine:
    return machine.has_java(JAVA_17).has_python()


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_without_java_one_sentence_says_how_to_install_it(machine: Machine, target: str) -> None:
    done = machine.has_python().make(target)

    assert done.returncode != 0
    [sentence] = [line for line in done.stderr.splitlines() if "Spark" in line]
    assert "Spark needs Java 17 or 21, and 'java' cannot be run here" in sentence
    assert "apt-get install -y openjdk-17-jre-headless" in sentence
    assert machine.calls("pip") == [], "nothing is installed before Java is there"


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ('java version "1.8.0_392"\nJava(TM) SE Runtime Environment', "1.8.0_392"),
        ('openjdk version "11.0.22" 2024-01-16', "11.0.22"),
        ('openjdk version "19" 2022-09-20', "19"),
        ("something else", "of an unknown version"),
    ],
)
def test_a_java_that_spark_cannot_run_on_is_named(machine: Machine, banner: str, version: str) -> None:
    done = machine.has_java(banner).has_python().make("test")

    assert done.returncode != 0
    assert f"Spark 4.2 needs Java 17 or 21, and 'java' is {version}; install it with:" in done.stderr
    assert machine.calls("pip") == []


@pytest.mark.parametrize("version", SUPPORTED_JAVA)
@pytest.mark.parametrize("banner", ['openjdk version "{}.0.15" 2025-04-15', 'openjdk version "{}" 2025-04-15 LTS'])
def test_make_accepts_every_java_that_the_session_accepts(machine: Machine, banner: str, version: int) -> None:
    noise = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\n"

    done = machine.has_java(noise + banner.format(version)).has_python().make("test")

    assert done.returncode == 0, done.stderr


def test_java_home_overrides_the_path(good_machine: Machine, tmp_path: Path) -> None:
    done = good_machine.make("test", JAVA_HOME=str(tmp_path / "nowhere"))

    assert done.returncode != 0
    assert f"'{tmp_path}/nowhere/bin/java' cannot be run here" in done.stderr


def test_a_python_that_is_too_old_is_named(machine: Machine) -> None:
    done = machine.has_java(JAVA_17).has_python("3.9.2", too_old=True).make("test")

    assert done.returncode != 0
    assert "Python 3.11 or newer is needed (Python 3.9.2); install it with: sudo apt-get install" in done.stderr
    assert machine.calls("pip") == []


def test_without_python_one_sentence_says_how_to_install_it(machine: Machine) -> None:
    done = machine.has_java(JAVA_17).make("demo")

    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr


def test_make_chooses_a_newer_python_over_an_old_one(machine: Machine) -> None:
    machine.has_java(JAVA_17).has("python3.12", PYTHON.format(version="3.12.1", too_old=0, no_venv=0))

    done = machine.has_python("3.9.2", too_old=True).make("test")

    assert done.returncode == 0, done.stderr
    assert machine.calls("python3.12 -m venv") != []


def test_a_python_without_venv_says_what_to_install(machine: Machine) -> None:
    done = machine.has_java(JAVA_17).has_python(no_venv=True).make("test")

    assert done.returncode != 0
    assert "sudo apt-get install -y python3-venv" in done.stderr


def test_the_first_run_installs_the_pins_fetches_the_jars_and_then_works(good_machine: Machine) -> None:
    done = good_machine.make("test")

    assert done.returncode == 0, done.stderr
    [install] = good_machine.calls("pip install")
    assert "-c constraints.txt -e .[demo,dev,embedded,spark]" in install
    assert len(good_machine.calls("featurestore doctor")) == 1
    assert good_machine.calls("")[-1].endswith(".venv/bin/python -m pytest -n 2 --dist loadfile -m not slow")


def test_the_second_run_just_works(good_machine: Machine) -> None:
    good_machine.make("test")
    good_machine.log.unlink()

    done = good_machine.make("demo")

    assert done.returncode == 0, done.stderr
    assert good_machine.calls("pip") + good_machine.calls("doctor") == []
    assert good_machine.calls("")[-1].endswith(".venv/bin/python jobs/demo.py")


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
def test_changed_pins_are_installed(good_machine: Machine, file: str) -> None:
    good_machine.make("environment")
    with (good_machine.clone / file).open("a", encoding="utf-8") as pins:
        pins.write("# another pin\n")
    good_machine.log.unlink()

    good_machine.make("environment")

    assert len(good_machine.calls("pip install")) == 1
    assert good_machine.calls("-m venv") == []


def test_a_moved_clone_is_installed_again(good_machine: Machine, tmp_path: Path) -> None:
    good_machine.make("environment")
    good_machine.clone = good_machine.clone.rename(tmp_path / "elsewhere")
    good_machine.log.unlink()

    good_machine.make("environment")

    assert len(good_machine.calls("pip install")) == 1


def test_an_installation_that_failed_starts_afresh(good_machine: Machine) -> None:
    failed = good_machine.make("test", PIP_EXIT="1")
    assert failed.returncode != 0
    assert good_machine.calls("-m pytest -n 2 --dist loadfile") == []
    (good_machine.clone / ".venv" / "half-made").touch()

    done = good_machine.make("test")

    assert done.returncode == 0, done.stderr
    assert "The last installation did not finish: starting afresh" in done.stdout
    assert not (good_machine.clone / ".venv" / "half-made").exists()


def test_an_installation_that_was_killed_starts_afresh(good_machine: Machine) -> None:
    started = subprocess.Popen(
        ["make", "test"],
        cwd=good_machine.clone,
        env=good_machine.environment | {"PIP_SECONDS": "60"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: bool(good_machine.calls("pip install")))
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()

    done = good_machine.make("test")

    assert done.returncode == 0, done.stderr
    assert "starting afresh" in done.stdout
    assert len(good_machine.calls("-m venv")) == 2


def test_where_only_spark_failed_the_packages_are_kept(good_machine: Machine) -> None:
    failed = good_machine.make("test", DOCTOR_EXIT="16")
    assert failed.returncode != 0
    assert good_machine.calls("-m pytest -n 2 --dist loadfile") == []

    done = good_machine.make("test")

    assert done.returncode == 0, done.stderr
    assert len(good_machine.calls("pip install")) == 1
    assert len(good_machine.calls("featurestore doctor")) == 2


def test_a_second_make_waits_for_the_first(good_machine: Machine) -> None:
    first = subprocess.Popen(
        ["make", "demo"],
        cwd=good_machine.clone,
        env=good_machine.environment | {"PIP_SECONDS": "2"},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: bool(good_machine.calls("pip install")))

    second = good_machine.make("test")

    assert first.wait() == 0
    assert second.returncode == 0, second.stderr
    assert "Waiting for process" in second.stdout
    assert len(good_machine.calls("pip install")) == 1


def test_parallel_make_does_one_after_the_other(good_machine: Machine) -> None:
    done = good_machine.make("-j4", "demo", "test", "check")

    assert done.returncode == 0, done.stderr
    assert len(good_machine.calls("pip install")) == 1
    ran = [re.sub(r".*/python ", "", call) for call in good_machine.calls(".venv/bin/python ")][-5:]
    assert ran == [
        "jobs/demo.py",
        "-m pytest -n 2 --dist loadfile -m not slow",
        "-m ruff check .",
        "-m ruff format --check .",
        "-m mypy",
    ]


def test_make_alone_lists_the_targets(machine: Machine) -> None:
    done = machine.make()

    assert done.returncode == 0
    assert {"make demo", "make test", "make check", "make clean"} <= set(re.findall(r"^make \w+", done.stdout, re.M))


def test_clean_keeps_the_environment(good_machine: Machine) -> None:
    good_machine.make("environment")
    (good_machine.clone / "output").mkdir()

    done = good_machine.make("clean")

    assert done.returncode == 0, done.stderr
    assert not (good_machine.clone / "output").exists()
    assert (good_machine.clone / ".venv" / ".complete").exists()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
