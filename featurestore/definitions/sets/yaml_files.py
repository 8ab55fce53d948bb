"""Definitions from YAML, with errors that name the file, the line and the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from featurestore.definitions.base import Definition, fault_text, field_path
from featurestore.definitions.derived.definition import DerivedDefinition
from featurestore.definitions.entity import Entity
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.sets.collection import Definitions
from featurestore.definitions.training_set import TrainingSetDefinition
from featurestore.errors import DefinitionError, nearest, shown

SECTIONS = ("entities", "feature_groups", "derived_features", "training_sets")


def load_definitions(path: str | Path) -> Definitions:
    """Read one ``.yml`` file, or every ``.yml`` and ``.yaml`` in a folder, as one set of definitions.

    A group names its entity; the entity may be in any of the files. ``sql_file`` in a transformation names a file
    beside the YAML. Raises DefinitionError with all faults, one per line: ``file:line: field: what is wrong``.
    """
    documents = [_Document(file) for file in _files(Path(path))]
    faults: list[str] = []
    items: list[Definition] = [
        item for document in documents for item in document.read("entities", Entity, faults, _unchanged)
    ]
    entities = {item.name: item for item in items if isinstance(item, Entity)}
    for document in documents:
        items += document.read("feature_groups", FeatureGroup, faults, _with_entity(entities))
        items += document.read("derived_features", DerivedDefinition, faults, _unchanged)
        items += document.read("training_sets", TrainingSetDefinition, faults, _unchanged)
    if faults:
        raise DefinitionError("\n".join(faults))
    return Definitions.of(items)


def _files(path: Path) -> list[Path]:
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        raise DefinitionError(f"{shown(str(path))}: {error.strerror}; name a file or folder of definitions") from error
    if is_file:
        return [path]
    if not is_folder:
        raise DefinitionError(f"{path}: there is no such file or folder of definitions")
    files = sorted([*path.glob("*.yml"), *path.glob("*.yaml")])
    if not files:
        raise DefinitionError(f"{path}: the folder holds no .yml file; write definitions there, or name another folder")
    return files


class _Document:
    """One YAML file: its data, and the line of every part of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[tuple[int | str, ...], int] = {}
        try:
            node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
            self.data = self._plain(node, ()) if node is not None else {}
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DefinitionError(f"{file}:{line}: not YAML: {error.problem}") from error
        except OSError as error:
            raise DefinitionError(f"{file}: {error.strerror}; make it readable, or name other definitions") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DefinitionError(f"{file}:1: not YAML: {str(error).splitlines()[0]}") from error
        if not isinstance(self.data, dict):
            raise DefinitionError(f"{file}:1: expected the sections {', '.join(SECTIONS)}")
        for section in self.data:
            if section not in SECTIONS:
                raise DefinitionError(
                    f"{file}:{self.line((section,))}: {section}: unknown section. {nearest(str(section), SECTIONS)}"
                )

    def _plain(self, node: yaml.Node, path: tuple[int | str, ...]) -> Any:
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            plain: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = key_node.value
                if not isinstance(key_node, yaml.ScalarNode):
                    raise self._error_at(key_node, path, "a name must be a plain word")
                if key in plain:
                    raise self._error_at(key_node, (*path, key), "given twice")
                plain[key] = self._plain(value_node, (*path, key))
                self.lines[(*path, key)] = key_node.start_mark.line + 1
            return plain
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return yaml.SafeLoader("").construct_object(node)
        except ValueError as error:
            raise self._error_at(node, path, f"{node.value!r}: {error}") from error

    def _error_at(self, node: yaml.Node, path: tuple[int | str, ...], reason: str) -> DefinitionError:
        return DefinitionError(f"{self.file}:{node.start_mark.line + 1}: {field_path(path)}: {reason}")

    def line(self, path: tuple[int | str, ...]) -> int:
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def read(self, section: str, kind: type[Definition], faults: list[str], prepare: Any) -> list[Any]:
        items = self.data.get(section) or []
        if not isinstance(items, list):
            faults.append(f"{self.file}:{self.line((section,))}: {section}: expected a list")
            return []
        definitions = []
        for index, item in enumerate(items):
            path = (section, index)
            try:
                definitions.append(kind.model_validate(prepare(self._with_sql(item))))
            except ValidationError as error:
                for fault in error.errors(include_url=False):
                    faults.append(self._fault(path, fault["loc"], fault_text(dict(fault)), item))
            except DefinitionError as error:
                faults.append(self._fault(path, (), str(error), item))
        return definitions

    def _fault(self, path: tuple[int | str, ...], field: tuple[int | str, ...], text: str, item: Any) -> str:
        name = f" ({item['name']})" if isinstance(item, dict) and "name" in item else ""
        return f"{self.file}:{self.line(path + field)}: {field_path(path + field)}{name}: {text}"

    def _with_sql(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        if isinstance(item.get("spine"), dict):
            return {**item, "spine": self._with_sql(item["spine"])}
        transformation = item.get("transformation")
        if not isinstance(transformation, dict) or "sql_file" not in transformation:
            return item
        sql_file = self.file.parent / str(transformation["sql_file"])
        if not sql_file.is_file():
            raise DefinitionError(f"transformation.sql_file: there is no file {sql_file}")
        rest = {key: value for key, value in transformation.items() if key != "sql_file"}
        return {**item, "transformation": {**rest, "sql": sql_file.read_text(encoding="utf-8")}}


def _unchanged(item: Any) -> Any:
    return item


def _with_entity(entities: dict[str, Entity]) -> Any:
    def prepare(item: Any) -> Any:
        if not isinstance(item, dict) or not isinstance(item.get("entity"), str):
            return item
        if item["entity"] not in entities:
            raise DefinitionError(f"entity {item['entity']!r} is not defined. {nearest(item['entity'], entities)}")
        return {**item, "entity": entities[item["entity"]]}

    return prepare
