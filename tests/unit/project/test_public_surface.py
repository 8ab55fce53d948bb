"""The public names, with their signatures, are those that public_surface.txt says.

Public is what ``featurestore`` names in ``__all__``, its errors, and what a page of the documentation imports.

Where the test objects and the change is meant, write the file again and read its difference before you commit it:

    .venv/bin/python tests/unit/project/test_public_surface.py

A line that goes, or changes, is a breaking change for somebody: it needs a new major version and a line in CHANGELOG.md.
A line that comes is an addition.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pandas as pd
import pytest
from pydantic import BaseModel

import featurestore
from featurestore import errors

PROJECT = Path(__file__).parents[3]
SURFACE = Path(__file__).with_name("public_surface.txt")
FACADES = (featurestore.FeatureStore, featurestore.OfflineStore, featurestore.FeatureDataLoader)
# What a returned object holds and nobody needs to name: what it works with, and parts of a manifest or a report.
NOT_NAMED = {
    "Context",
    "DerivedSnapshot",
    "Display",
    "Entry",
    "ErasureNote",
    "FeatureSummary",
    "GroupEntry",
    "GroupSnapshot",
    "HistogramBin",
    "PartSnapshot",
    "SplitCuts",
    "TrainingSetEntry",
}
# pandas has generic types for the checker that cannot be subscripted when they run.
_PANDAS = SimpleNamespace(DataFrame=pd.DataFrame, Series=list, Index=list)


def surface() -> Iterator[str]:
    """Every public name, error and documented function, with what can be called and read of it."""
    for name in sorted(featurestore.__all__):
        public = getattr(featurestore, name)
        yield from class_lines(public) if inspect.isclass(public) else (f"{name}: {type(public).__name__}",)
    for kind in error_classes():
        bases = ", ".join(base.__name__ for base in kind.__bases__)
        yield f"errors.{kind.__name__}({bases}): exit code {kind.exit_code}"
    for module, name in sorted(imported_in_docs()):
        public = getattr(import_module(module), name)
        yield from class_lines(public) if inspect.isclass(public) else (f"{module}.{name}{plain(public)}",)


def imported_in_docs() -> set[tuple[str, str]]:
    """Module and name of what the pages have their readers import from modules inside, errors apart."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in [PROJECT / "README.md", *PROJECT.glob("docs/*.md")])
    imports = re.findall(r"^from (featurestore\.[\w.]+) import (?:\(([^)]*)\)|(.+))$", text, re.MULTILINE)
    names = ((module, re.findall(r"\w+", inside or line)) for module, inside, line in imports)
    return {(module, name) for module, listed in names for name in listed if module != "featurestore.errors"}


def class_lines(kind: type) -> Iterator[str]:
    taken = parameters_of(kind)
    yield f"{kind.__name__}({', '.join(taken.values())})"
    for name, member in sorted(members(kind).items()):
        if name not in taken:
            yield f"    {kind.__name__}.{member_line(name, member)}"


def parameters_of(kind: type) -> dict[str, str]:
    """What a class is called with, by name; the fields of a model."""
    if issubclass(kind, BaseModel):
        return {name: field_text(kind, name) for name in kind.model_fields}
    return {parameter.name: str(parameter) for parameter in plain(kind.__init__).parameters.values()}


def field_text(model: type[BaseModel], name: str) -> str:
    owner = next(base for base in model.__mro__ if name in inspect.get_annotations(base))
    field = model.model_fields[name]
    default = "" if field.is_required() else f" = {field.get_default(call_default_factory=True)!r}"
    return f"{name}: {inspect.get_annotations(owner)[name]}{default}"


def members(kind: type) -> dict[str, Any]:
    """Public methods, properties and fields, also those inherited from classes of this package."""
    by_name: dict[str, Any] = {}
    for base in reversed([base for base in kind.__mro__ if base.__module__.startswith("featurestore")]):
        fields = {name for name, kind in inspect.get_annotations(base).items() if not str(kind).startswith("ClassVar")}
        by_name |= dict.fromkeys(fields)
        by_name |= {name: member for name, member in vars(base).items() if function_of(member) is not None}
    from_pydantic = vars(BaseModel) if issubclass(kind, BaseModel) else {}
    return {name: member for name, member in by_name.items() if name[0] != "_" and name not in from_pydantic}


def function_of(member: Any) -> Any:
    """The function behind a method or property; None for what is neither."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    if isinstance(member, classmethod | staticmethod):
        return member.__func__
    return member if inspect.isfunction(member) else None


def member_line(name: str, member: Any) -> str:
    function = function_of(member)
    if function is None:
        return name
    if isinstance(member, property | functools.cached_property):
        return f"{name} -> {inspect.signature(function).return_annotation}"
    return f"{name}{plain(function)}"


def plain(function: Any) -> inspect.Signature:
    """The signature without ``self``, annotations as they are written, defaults that print the same everywhere."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=Written(parameter.annotation), default=displayed_default(parameter.default))
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return signature.replace(parameters=parameters, return_annotation=Written(signature.return_annotation))


class Written:
    """A text that prints without quotation marks."""

    def __init__(self, text: Any) -> None:
        self.text = str(text)

    def __repr__(self) -> str:
        return self.text


def displayed_default(default: Any) -> Any:
    if default is os.environ:
        return Written("os.environ")
    return Written(default.__qualname__) if inspect.isfunction(default) else default


def error_classes() -> list[type[errors.FeatureStoreError]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in kinds if issubclass(kind, errors.FeatureStoreError)]


def classes_in(hint: Any) -> Iterator[type]:
    """The classes of this package that a type hint is made of."""
    if inspect.isclass(hint) and hint.__module__.startswith("featurestore"):
        yield hint
    for part in get_args(hint):
        for hint_part in part if isinstance(part, list) else [part]:
            yield from classes_in(hint_part)


def given_by(kind: type) -> Iterator[type]:
    """The classes that methods of ``kind`` return and that its attributes have."""
    for member in members(kind).values():
        function = function_of(member)
        if function is not None:
            yield from classes_in(get_type_hints(function, localns={"pd": _PANDAS}).get("return"))
    hints = get_type_hints(kind, localns={"pd": _PANDAS})
    for name, hint in hints.items():
        if not name.startswith("_"):
            yield from classes_in(hint)


def test_the_public_names_are_those_of_the_file() -> None:
    wanted = SURFACE.read_text(encoding="utf-8").splitlines()
    names = list(surface())

    difference = "\n".join(difflib.unified_diff(wanted, names, "public_surface.txt", "the code", lineterm="", n=0))
    assert not difference, f"{difference}\n{__doc__}"


def test_every_public_name_is_there_and_has_a_home() -> None:
    missing = [name for name in featurestore.__all__ if not hasattr(featurestore, name)]

    assert missing == []
    assert set(featurestore.__all__) == {*featurestore._HOME, "__version__"}
    assert dir(featurestore) == featurestore.__all__
    with pytest.raises(AttributeError, match="has no attribute 'FeaturStore'"):
        _ = featurestore.FeaturStore


def test_classes_that_the_facades_return_can_be_imported_from_the_package() -> None:
    """Also what that holds, so that an annotation of a user's own function never needs a module inside."""
    public = [getattr(featurestore, name) for name in featurestore.__all__ if name != "__version__"]
    names = {part.__name__ for kind in public for part in given_by(kind)}

    assert {"Plan", "Run", "Manifest", "WriteResult", "TrainingSet"} <= names
    assert sorted(names - set(featurestore.__all__)) == sorted(NOT_NAMED)


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.__name__)
def test_every_error_in_a_facades_docstrings_is_one_of_errors(facade: type) -> None:
    names = {name for member in vars(facade).values() for name in re.findall(r"\b\w+Error\b", member.__doc__ or "")}

    assert names, "the docstrings say what is raised"
    assert sorted(names - {kind.__name__ for kind in error_classes()}) == []


if __name__ == "__main__":
    SURFACE.write_text("".join(f"{line}\n" for line in surface()), encoding="utf-8")
