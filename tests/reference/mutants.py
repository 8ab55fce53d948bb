"""Faults planted in the modules of a package: a mutated package is loaded beside the real one, and no file changes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A fault: in a module's source, which must have ``text`` exactly once, ``changed`` stands in its place."""

    name: str
    module: str
    text: str
    changed: str

    def __str__(self) -> str:
        return self.name


@contextmanager
def mutated(package: str, mutant: Mutant | None) -> Iterator[None]:
    """Within it, the package's modules are imported anew, one of them with this fault; after it, all are as before."""
    with _private_modules(package):
        importlib.import_module(package)
        if mutant is not None:
            _import_mutated(package, mutant)
        importlib.import_module(f"{package}.join")
        yield


@contextmanager
def _private_modules(package: str) -> Iterator[None]:
    above, _, own = package.rpartition(".")
    parent = sys.modules[above]
    real = {name: each for name, each in sys.modules.items() if f"{name}.".startswith(f"{package}.")}
    for name in real:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules.update(real)
        setattr(parent, own, real[package])


def _import_mutated(package: str, mutant: Mutant) -> None:
    name = f"{package}.{mutant.module}"
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(mutant.text) == 1, f"{mutant.module} must have this once: {mutant.text}"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source.replace(mutant.text, mutant.changed), f"{spec.origin} ({mutant})", "exec"), vars(module))
