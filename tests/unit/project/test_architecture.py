"""Which part may import which, and what each may touch; read from the source, so that nothing is run.

The rules are tables. Each has a test on the tree as it is, and one on a small bad tree that it must object to.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

# Part -> the parts it may import. A part is the first folder or module below the package; "facade" is the public names.
LATE = {"late_spark", "late_pandas"}
BELOW_OPERATIONS = {
    "kinds",
    "columnar",
    "frames",
    "stores",
    "definitions",
    "config",
    "display",
    "errors",
    "object_stores",
    *LATE,
}
MAY_IMPORT = {
    "errors": set(),
    # What is imported when it is first used.
    "late": {"errors"},
    "late_spark": {"late"},
    "late_pandas": {"late"},
    # How a result shows itself knows no result.
    "display": set(),
    "config": {"errors"},
    # How the arguments of public functions are read.
    "arguments": {"errors"},
    "definitions": {"arguments", "display", "errors"},
    "spark_start": {"config", "errors", "late_spark"},
    "session": {"config", "errors", "late_spark", "object_stores", "spark_start"},
    "object_stores": set(),
    "spark_internals": {"errors", "late_spark"},
    "kinds": {"definitions", "errors", *LATE},
    "columnar": {"kinds", "definitions", "errors", "late_pandas"},
    "frames": {"kinds", "columnar", "definitions", "errors", *LATE},
    # A store may build its columns with the pure functions of frames; never the other way.
    "stores": {"kinds", "columnar", "frames", "definitions", "config", "display", "errors", "object_stores", *LATE},
    "operations": {"spark_internals", "arguments", *BELOW_OPERATIONS},
    # What operations made, as documents for people.
    "reports": {"operations", "arguments", *BELOW_OPERATIONS},
    "facade": {"operations", "reports", "session", "arguments", *BELOW_OPERATIONS},
    # What Feast asks of an offline store; everything else works without it.
    "feast": {"session", *BELOW_OPERATIONS},
    "cli": {"facade", "feast", "reports", "operations", "session", "spark_start", *BELOW_OPERATIONS},
    "demo": {"facade", "reports", "definitions", "config", "errors"},
    "jobs": {"facade", "cli", "demo", "definitions", "config", "errors", "spark_start"},
}
FACADE = {"__init__", "feature_store", "offline_store", "data_loader", "training_set"}
OF_ANOTHER_NAME = {"__main__": "cli"}

NO_SPARK = {"arguments", "columnar", "errors", "config", "definitions", "display", "kinds"}
PURE = {"kinds", "columnar", "frames"}
CLOCKS = {"now", "utcnow", "today", "current_date", "current_timestamp", "localtimestamp"}
SPARK_INTERNALS = {"_jdf", "_jsparkSession", "_jvm", "_jsc", "_sc", "sparkContext", "rdd"}
# Sessions and files; the plans of users' SQL.
KNOW_SPARK_INTERNALS = {"session", "spark_internals"}
SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}
MODULES_A_ROOM = 15


@dataclass(frozen=True)
class Module:
    """A source file: the part it belongs to, and its syntax tree."""

    path: str
    part: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its dotted name; that of its folder for an ``__init__``."""
        return ".".join(Path(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def room(self) -> str:
        """Its folder if that is a room inside a part; a module next to the rooms counts as itself."""
        folders = Path(self.path).parts[:-1]
        return "/".join(folders) if len(folders) > 2 else self.path

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of everything imported, also in functions and under TYPE_CHECKING."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)

    def attributes(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of every attribute that is read, such as ``datetime.now``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                yield node.lineno, ast.unparse(node)


def read_modules(root: Path) -> list[Module]:
    """Every module of the package and every job."""
    modules = []
    for folder in ("featurestore", "jobs"):
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root)
            tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(path))
            modules.append(Module(str(path), part_of(path.with_suffix("").parts), tree))
    return modules


def part_of(names: tuple[str, ...]) -> str:
    """The part of a module's dotted name, from the name's components: ``("featurestore", "frames", "schema")`` -> frames."""
    if names[0] == "jobs":
        return "jobs"
    first = names[1] if len(names) > 1 else "__init__"
    if first in FACADE:
        return "facade"
    return OF_ANOTHER_NAME.get(first, first)


def imported_part(name: str) -> str | None:
    """The part that an import reaches; None for other packages."""
    names = tuple(name.split("."))
    if names[0] != "featurestore":
        return None
    # ``from featurestore import Entity`` reaches the public names; ``from featurestore import config`` a module.
    is_module = len(names) > 1 and (names[1] in MAY_IMPORT or names[1] in FACADE)
    return part_of(names) if is_module else "facade"


def wrong_imports(modules: list[Module]) -> list[str]:
    faults = []
    for module in modules:
        for line, name in module.imports():
            if name.startswith("."):
                faults.append(f"{module.path}:{line}: relative import of {name}; write the full name")
                continue
            reached = imported_part(name)
            if reached is not None and reached != module.part and reached not in MAY_IMPORT.get(module.part, set()):
                faults.append(f"{module.path}:{line}: {module.part} may not import {reached} ({name})")
    return faults


def unknown_parts(modules: list[Module]) -> list[str]:
    return [f"{module.path}: {module.part} is not in MAY_IMPORT" for module in modules if module.part not in MAY_IMPORT]


def spark_where_there_is_none(modules: list[Module]) -> list[str]:
    return [
        f"{module.path}:{line}: {module.part} may not import {name}"
        for module in modules
        if module.part in NO_SPARK
        for line, name in module.imports()
        if name.split(".")[0] in ("pyspark", "delta")
    ]


def impure_frames(modules: list[Module]) -> list[str]:
    """Frames take frames and give frames, columnar the same of arrays: no environment, files, clock, session of their own."""
    faults = []
    for module in modules:
        if module.part not in PURE:
            continue
        for line, name in module.imports():
            if name.split(".")[0] in ("os", "pathlib", "subprocess", "time", "uuid", "random"):
                faults.append(f"{module.path}:{line}: {module.part} may not import {name}")
            if name.endswith(".SparkSession"):
                faults.append(f"{module.path}:{line}: frames may not know the session")
        for line, name in module.attributes():
            if name.split(".")[-1] in CLOCKS:
                faults.append(f"{module.path}:{line}: frames may not read the clock ({name})")
            if name.split(".")[-1] == "sparkSession":
                faults.append(f"{module.path}:{line}: frames may not know the session ({name})")
    return faults


def spark_internals(modules: list[Module]) -> list[str]:
    """Only a few modules may use what Spark Connect lacks, and they do without it there."""
    return [
        f"{module.path}:{line}: {name} is for {sorted(KNOW_SPARK_INTERNALS)} alone"
        for module in modules
        if module.part not in KNOW_SPARK_INTERNALS
        for line, name in module.attributes()
        if name.split(".")[-1] in SPARK_INTERNALS
    ]


def names_that_say_nothing(modules: list[Module]) -> list[str]:
    return [module.path for module in modules if SAY_NOTHING & set(Path(module.path).with_suffix("").parts)]


def circles_between_rooms(modules: list[Module]) -> list[str]:
    """Rooms, and modules next to rooms, have an order in which each imports only those before it."""
    rooms = {module.name: module.room for module in modules}
    reached: dict[str, set[str]] = {module.room: set() for module in modules if module.part != "facade"}
    for module in modules:
        for _, name in module.imports():
            # ``from featurestore.frames import schema`` imports a module, ``from featurestore.frames.schema import f`` a name.
            room = rooms.get(name) or rooms.get(name.rpartition(".")[0])
            if module.room in reached and room in reached and room != module.room:
                reached[module.room].add(room)
    try:
        TopologicalSorter(reached).prepare()
    except CycleError as error:
        return [f"circle: {' <- '.join(error.args[1])}"]
    return []


def crowded_rooms(modules: list[Module]) -> list[str]:
    sizes = Counter(Path(module.path).parent for module in modules if not module.path.endswith("__init__.py"))
    return [
        f"{folder}: {size} modules are two rooms" for folder, size in sorted(sizes.items()) if size > MODULES_A_ROOM
    ]


def purposes(modules: list[Module]) -> dict[str, str]:
    """Each folder of the package, with the line of its ``__init__`` that says what is in it; empty if there is none."""
    folders = {str(Path(module.path).parent): "" for module in modules if module.part != "jobs"}
    for module in modules:
        if module.path.endswith("__init__.py"):
            folders[str(Path(module.path).parent)] = (ast.get_docstring(module.tree) or "").partition("\n")[0]
    return folders


def rooms_without_purpose(modules: list[Module]) -> list[str]:
    return [
        f"{folder}/__init__.py: the first line says what is in the room"
        for folder, purpose in sorted(purposes(modules).items())
        if not purpose
    ]


Rule = Callable[[list[Module]], list[str]]
RULES: list[Rule] = [
    wrong_imports,
    unknown_parts,
    spark_where_there_is_none,
    impure_frames,
    spark_internals,
    names_that_say_nothing,
    circles_between_rooms,
    crowded_rooms,
    rooms_without_purpose,
]


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    modules = read_modules(PROJECT)
    assert {"definitions", "frames", "stores", "operations", "cli", "jobs"} <= {module.part for module in modules}

    assert rule(modules) == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (wrong_imports, "featurestore/definitions/entity.py", "from featurestore.frames import schema"),
        (wrong_imports, "featurestore/definitions/entity.py", "from featurestore.config import Settings"),
        (wrong_imports, "featurestore/errors.py", "import featurestore.config"),
        (wrong_imports, "featurestore/frames/schema.py", "from featurestore.stores.delta.table import DeltaTable"),
        (wrong_imports, "featurestore/frames/schema.py", "def f():\n    from featurestore.session import open_session"),
        (
            wrong_imports,
            "featurestore/frames/schema.py",
            "if TYPE_CHECKING:\n    import featurestore.stores.delta.table",
        ),
        (wrong_imports, "featurestore/frames/schema.py", "from featurestore import session"),
        (
            wrong_imports,
            "featurestore/stores/delta/table.py",
            "from featurestore.operations.definitions.apply import apply",
        ),
        (wrong_imports, "featurestore/stores/delta/table.py", "from featurestore.session import open_session"),
        (wrong_imports, "featurestore/operations/reading/as_of.py", "from featurestore import FeatureStore"),
        (wrong_imports, "featurestore/operations/reading/as_of.py", "from featurestore.cli import main"),
        (wrong_imports, "featurestore/feature_store.py", "import featurestore.cli.ingest"),
        (wrong_imports, "featurestore/config.py", "from featurestore.definitions import Entity"),
        (
            wrong_imports,
            "featurestore/operations/reading/as_of.py",
            "from featurestore.reports.pictures import Picture",
        ),
        (wrong_imports, "featurestore/demo/flights.py", "from featurestore.operations.as_of.join import read"),
        (wrong_imports, "featurestore/frames/schema.py", "from ..stores import delta"),
        (wrong_imports, "jobs/apply.py", "from featurestore.stores.delta.table import DeltaTable"),
        (unknown_parts, "featurestore/plumbing.py", ""),
        (spark_where_there_is_none, "featurestore/definitions/entity.py", "import pyspark.sql"),
        (spark_where_there_is_none, "featurestore/config.py", "def f():\n    from pyspark.sql import DataFrame"),
        (spark_where_there_is_none, "featurestore/columnar/names.py", "from pyspark.sql import DataFrame"),
        (spark_where_there_is_none, "featurestore/kinds/whole.py", "def f():\n    from pyspark.sql import DataFrame"),
        (wrong_imports, "featurestore/kinds/whole.py", "from featurestore.frames import schema"),
        (wrong_imports, "featurestore/columnar/names.py", "from featurestore.late_spark import DataFrame"),
        (wrong_imports, "featurestore/definitions/entity.py", "from featurestore.late_pandas import pd"),
        (impure_frames, "featurestore/frames/schema.py", "from featurestore.late_spark import SparkSession"),
        (impure_frames, "featurestore/columnar/names.py", "import os"),
        (impure_frames, "featurestore/kinds/whole.py", "import os"),
        (impure_frames, "featurestore/frames/schema.py", "import os"),
        (impure_frames, "featurestore/frames/schema.py", "from os import environ"),
        (impure_frames, "featurestore/frames/schema.py", "from pyspark.sql import SparkSession"),
        (impure_frames, "featurestore/frames/schema.py", "from datetime import datetime\nnow = datetime.now()"),
        (impure_frames, "featurestore/frames/schema.py", "import datetime\nnow = datetime.datetime.now(UTC)"),
        (impure_frames, "featurestore/frames/schema.py", "created = F.current_timestamp()"),
        (impure_frames, "featurestore/frames/schema.py", "rows = frame.sparkSession.range(3)"),
        (
            spark_internals,
            "featurestore/stores/delta/table.py",
            "def f(spark):\n    return spark._jvm.java.lang.System",
        ),
        (spark_internals, "featurestore/operations/reading/as_of.py", "n = frame.rdd.getNumPartitions()"),
        (spark_internals, "featurestore/operations/jobs/transform.py", "plan = frame._jdf.queryExecution()"),
        (spark_internals, "featurestore/operations/reading/as_of.py", "spark.sparkContext.setJobGroup('a', 'b')"),
        (names_that_say_nothing, "featurestore/frames/utils.py", ""),
        (names_that_say_nothing, "featurestore/helpers/text.py", ""),
        (rooms_without_purpose, "featurestore/frames/rows/schema.py", ""),
    ],
)
def test_the_rule_objects(rule: Rule, path: str, source: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source + "\n", encoding="utf-8")

    assert rule(read_modules(tmp_path)) != []


def tree_of(root: Path, sources: dict[str, str]) -> list[Module]:
    for path, source in sources.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source + "\n", encoding="utf-8")
    return read_modules(root)


@pytest.mark.parametrize(
    ("sources", "faults"),
    [
        # Two rooms; a room and a module next to it; two modules next to rooms.
        (
            {
                "featurestore/frames/rows/a.py": "from featurestore.frames.text import b",
                "featurestore/frames/text/b.py": "from featurestore.frames.rows.c import d",
                "featurestore/frames/rows/c.py": "",
            },
            1,
        ),
        (
            {
                "featurestore/frames/a.py": "from featurestore.frames.text.b import c",
                "featurestore/frames/text/b.py": "def f():\n    import featurestore.frames.a",
            },
            1,
        ),
        ({"featurestore/a.py": "import featurestore.b", "featurestore/b.py": "import featurestore.a"}, 1),
        # Within a room modules are one thing; rooms one after the other are no circle.
        (
            {
                "featurestore/frames/rows/a.py": "import featurestore.frames.rows.b",
                "featurestore/frames/rows/b.py": "import featurestore.frames.text.c",
                "featurestore/frames/text/c.py": "import featurestore.frames.d",
                "featurestore/frames/d.py": "",
            },
            0,
        ),
    ],
)
def test_rooms_do_not_import_in_circles(sources: dict[str, str], faults: int, tmp_path: Path) -> None:
    assert len(circles_between_rooms(tree_of(tmp_path, sources))) == faults


@pytest.mark.parametrize(("size", "faults"), [(MODULES_A_ROOM, 0), (MODULES_A_ROOM + 1, 1)])
def test_a_room_has_so_many_modules_at_most(size: int, faults: int, tmp_path: Path) -> None:
    sources = {f"featurestore/frames/m{number}.py": "" for number in range(size)} | {
        "featurestore/frames/__init__.py": ""
    }

    assert len(crowded_rooms(tree_of(tmp_path, sources))) == faults


def test_every_rule_is_shown_to_object() -> None:
    rules = {case[0] for mark in test_the_rule_objects.pytestmark for case in mark.args[1]}

    assert rules | {circles_between_rooms, crowded_rooms} == set(RULES)


def test_the_tour_says_of_each_room_what_its_init_says() -> None:
    tour = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {folder: purpose for folder, purpose in purposes(read_modules(PROJECT)).items() if folder != "featurestore"}

    lines = dict(re.findall(r"^\| `(featurestore/[\w/]+)/` \| (.+) \|$", tour, re.MULTILINE))
    assert {folder: lines.get(folder) for folder in rooms} == rooms


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("featurestore/frames/schema.py", "import featurestore.definitions.entity\nfrom datetime import datetime"),
        ("featurestore/stores/delta/table.py", "from featurestore.frames.columns import column"),
        ("featurestore/cli/apply.py", "from featurestore.feature_store import FeatureStore"),
        ("featurestore/session.py", "def f(spark):\n    return spark.sparkContext._jvm"),
        ("jobs/apply.py", "from featurestore.cli import main"),
    ],
)
def test_no_rule_rejects_allowed_code(path: str, source: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source + "\n", encoding="utf-8")
    modules = read_modules(tmp_path)

    assert [fault for rule in RULES if rule is not rooms_without_purpose for fault in rule(modules)] == []


def test_writes_are_retried_on_every_conflict_that_delta_reports() -> None:
    import delta.exceptions
    from delta.exceptions import captured

    from featurestore.stores.delta.table import conflicts

    exceptions = {
        kind for kind in vars(delta.exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert exceptions == set(conflicts())
    for conflict in conflicts():
        # What Spark raises is a kind of what is caught.
        assert issubclass(getattr(captured, conflict.__name__), conflict)
