"""Write the rules of docs/point_in_time.md from their tests: ``python docs/generators/as_of_rules.py``.

A test's docstring that begins with ``Rule N:`` states this rule, or a part of it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from textwrap import TextWrapper, indent

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests" / "integration" / "reading" / "test_as_of_rules.py"
PAGE = PROJECT / "docs" / "point_in_time.md"

_START = "<!-- Written by docs/generators/as_of_rules.py from the tests of these rules. -->\n"
_INDENT = "   "
_END = "<!-- End of the rules. -->\n"
_STATEMENT = re.compile(r"Rule (\d+): (.+)", re.DOTALL)


def rules(source: str) -> dict[int, str]:
    """Rule number -> its statements in the order of the tests, in Markdown."""
    statements: dict[int, list[str]] = defaultdict(list)
    for number, statement in _statements(ast.parse(source)):
        statements[number].append(statement)
    return {number: "\n".join(parts) for number, parts in sorted(statements.items())}


def page(text: str, source: str) -> str:
    """The page's text with the rules of the tests' source between its markers."""
    before, _, rest = text.partition(_START)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{PAGE.name} lacks the markers {_START.strip()!r} and {_END.strip()!r}")
    items = "\n".join(_item(number, rule) for number, rule in rules(source).items())
    return f"{before}{_START}\n{items}\n\n{_END}{after}"


def _item(number: int, rule: str) -> str:
    """A list item with its text filled to lines, and empty lines around a table."""
    filler = TextWrapper(width=120 - len(_INDENT), break_long_words=False, break_on_hyphens=False)
    paragraphs = [text if text.startswith("|") else filler.fill(text) for text in rule.split("\n\n")]
    item = f"{number}. " + indent("\n\n".join(paragraphs), _INDENT).removeprefix(_INDENT)
    return item + "\n" if paragraphs[-1].startswith("|") else item


def _statements(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in module.body:
        docstring = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if statement := _STATEMENT.fullmatch(docstring or ""):
            yield int(statement[1]), statement[2].strip()


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), TESTS.read_text(encoding="utf-8")), encoding="utf-8")
