"""Prompt templates: Jinja2 with a few kinds of nodes, checked before any row is rendered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateSyntaxError, meta, nodes

from featurestore.errors import TransformationError, nearest
from featurestore.frames.text.prompt_sandbox import PromptEnvironment, seen_by_template

_NAMES_A_TEMPLATE = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
# All nodes that a template may contain. Macros and blocks are not among them: they bring names of their own
# (``varargs``, ``caller``, ``self``, ``super``) and are functions, but a template has only values.
_ALLOWED = (
    *(nodes.Output, nodes.TemplateData, nodes.Scope, nodes.For, nodes.If, nodes.With, nodes.FilterBlock),
    *(nodes.Assign, nodes.AssignBlock, nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair),
    *(nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice),
    *(nodes.Concat, nodes.Compare, nodes.Operand, nodes.BinExpr, nodes.UnaryExpr),
)
# The attributes that a template may read of the loop that it is in.
_LOOP_ATTRIBUTES = frozenset({
    "index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0",
    "cycle", "changed",
})  # fmt: skip
# Jinja2 reads these as values wherever a name is possible; _GRAMMAR has the words of its grammar.
_CONSTANTS = frozenset({"true", "false", "none", "True", "False", "None"})
_GRAMMAR = frozenset({
    "and", "or", "not", "if", "else", "elif", "in", "is", "for", "recursive", "with", "without", "context", "import",
    "as", "set",
})  # fmt: skip


@dataclass(frozen=True)
class PromptTemplate:
    """A compiled template; ``names``: column that it uses -> the column's name in the compiled template.

    The compiled names keep columns apart from Jinja2's own names: ``self``, ``loop`` and ``varargs`` can be columns.
    """

    template: Template
    names: Mapping[str, str]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.names)

    def render(self, row: Mapping[str, Any]) -> str:
        """The text for a row; the template sees only the columns that it names."""
        return self.template.render({alias: seen_by_template(row[name]) for name, alias in self.names.items()})


def compile_template(text: str) -> PromptTemplate:
    """Compile a template; raises jinja2's TemplateSyntaxError. ``check_template`` refuses all other faults."""
    environment = PromptEnvironment()
    tree = environment.parse(text)
    loops = {id(name) for name in _loops(tree)}
    renamed = [node for node in tree.find_all(nodes.Name) if id(node) not in loops]
    aliases = {name: f"column_{number}" for number, name in enumerate(sorted({node.name for node in renamed}))}
    for node in renamed:
        node.name = aliases[node.name]
    used = meta.find_undeclared_variables(tree)
    return PromptTemplate(
        environment.from_string(tree), {name: alias for name, alias in aliases.items() if alias in used}
    )


def check_template(what: str, text: str, columns: Collection[str], answer: str) -> frozenset[str]:
    """Return the columns that a template uses.

    ``what`` names the template in errors, ``answer`` is the column that it may not use.

    Raises TransformationError for each fault that shows before rows are rendered: a text that is not a template, a name
    that is not a column (with the nearest columns) or that Jinja2 reserves, the answer's name anywhere, an access that
    the sandbox refuses.
    """
    try:
        tree = PromptEnvironment().parse(text)
        template = compile_template(text)
    except TemplateSyntaxError as error:
        words = sorted(_GRAMMAR.intersection(columns, (word for _, word in _words(text))))
        hint = f" {_another_name(words)}" if words else ""
        raise TransformationError(
            f"{what}, line {error.lineno}: {error.message}; see Jinja2's syntax.{hint}"
        ) from error
    for reason in _refusals(tree, text, columns):
        raise TransformationError(f"{what}: {reason}; a template sees the row's columns and nothing else")
    if answer in {name.name for name in tree.find_all(nodes.Name)}:
        raise TransformationError(f"{what}: {answer!r} is the output, which the prompt must not contain; leave it out")
    unknown = sorted(template.columns - set(columns))
    if unknown:
        raise TransformationError(f"{what}: {'; '.join(_unknown(name, columns) for name in unknown)}")
    return template.columns


def _unknown(name: str, columns: Collection[str]) -> str:
    dotted = sorted(column for column in columns if column.startswith(f"{name}."))
    if dotted:
        return (
            f"{name!r} is not a column of the rows; a template cannot name {dotted[0]!r}, since Jinja2 takes the dot "
            "for an attribute: rename the column, or use format_fn"
        )
    return f"{name!r} is not a column of the rows. {nearest(name, columns)}"


def _another_name(words: list[str]) -> str:
    return f"Jinja2 reserves {words}, so a column of such a name needs another name: a Lookup's prefix= gives one"


def _refusals(tree: nodes.Template, text: str, columns: Collection[str]) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, _NAMES_A_TEMPLATE):
            yield f"line {node.lineno} names another template"
        elif not isinstance(node, _ALLOWED):
            yield f"line {node.lineno} holds a {type(node).__name__.lower()}, which is not possible here"
    for name, line in _attributes(tree):
        if isinstance(name, str) and name.startswith("_"):
            yield f"line {line} reads {name!r}, which the sandbox refuses"
    for node in tree.find_all(nodes.Name):
        if node.name == "loop" and node.ctx != "load":
            yield f"line {node.lineno} gives a value to 'loop', which is Jinja2's own name"
    if "loop" in columns and any(True for _ in _loops(tree)):
        yield f"'loop' is a column, and Jinja2's own name inside a loop. {_another_name(['loop'])}"
    for line, word in _words(text):
        if word in _CONSTANTS and word in columns:
            yield f"line {line} holds {word!r}. {_another_name([word])}"


def _attributes(tree: nodes.Template) -> Iterator[tuple[Any, int]]:
    for attribute in tree.find_all(nodes.Getattr):
        yield attribute.attr, attribute.lineno
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const):
            yield item.arg.value, item.lineno
    for filter in tree.find_all(nodes.Filter):
        if filter.name == "attr" and filter.args and isinstance(filter.args[0], nodes.Const):
            yield filter.args[0].value, filter.lineno


def _loops(node: nodes.Node, inside: bool = False) -> Iterator[nodes.Name]:
    """The names that mean the loop that they are in, as in ``loop.index``."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        if inside and node.node.name == "loop" and node.attr in _LOOP_ATTRIBUTES:
            yield node.node
        return
    body = {id(child) for child in node.body} if isinstance(node, nodes.For) else set()
    for child in node.iter_child_nodes():
        yield from _loops(child, inside or id(child) in body)


def _words(text: str) -> Iterator[tuple[int, str]]:
    """The names in a template with their lines, as its lexer sees them, except attributes, filters and tests."""
    previous = ("", "")
    try:
        for line, kind, word in PromptEnvironment().lex(text):
            if kind == "name" and previous[1] not in (".", "|", "is") and previous != ("is", "not"):
                yield line, word
            if kind != "whitespace":
                previous = (previous[1], word)
    except TemplateSyntaxError:
        return
