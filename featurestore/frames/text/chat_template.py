"""Prompt templates: Jinja2 of a few kinds of nodes, checked before any row is rendered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateSyntaxError, meta, nodes

from featurestore.errors import TransformationError, nearest
from featurestore.frames.text.prompt_sandbox import PromptEnvironment, seen_by_template

_REACHES_FOR_OTHERS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
# All that a template may consist of. Macros and blocks are not among them: they bring names of their own (``varargs``,
# ``caller``, ``self``, ``super``) and are functions, where a template has values alone.
_ALLOWED = (
    *(nodes.Output, nodes.TemplateData, nodes.Scope, nodes.For, nodes.If, nodes.With, nodes.FilterBlock),
    *(nodes.Assign, nodes.AssignBlock, nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair),
    *(nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice),
    *(nodes.Concat, nodes.Compare, nodes.Operand, nodes.BinExpr, nodes.UnaryExpr),
)
# What a template may ask of the loop that it is in.
_OF_A_LOOP = frozenset({
    "index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0",
    "cycle", "changed",
})  # fmt: skip
# Jinja2 reads these as values, wherever a name may stand, and the others as a part of its grammar.
_CONSTANTS = frozenset({"true", "false", "none", "True", "False", "None"})
_GRAMMAR = frozenset({
    "and", "or", "not", "if", "else", "elif", "in", "is", "for", "recursive", "with", "without", "context", "import",
    "as", "set",
})  # fmt: skip


@dataclass(frozen=True)
class PromptTemplate:
    """A template that is ready; ``names`` maps each column that it uses to the name that the compiled one knows it by.

    Names of its own keep Jinja2's apart from the columns': one called ``self``, ``loop`` or ``varargs`` is that column.
    """

    template: Template
    names: Mapping[str, str]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.names)

    def render(self, row: Mapping[str, Any]) -> str:
        """The text of a row, of which the template sees the columns that it names."""
        return self.template.render({own: seen_by_template(row[name]) for name, own in self.names.items()})


def compile_template(text: str) -> PromptTemplate:
    """Raises jinja2's TemplateSyntaxError; what else can be wrong is what ``check_template`` refuses."""
    environment = PromptEnvironment()
    tree = environment.parse(text)
    loops = {id(name) for name in _loops(tree)}
    renamed = [node for node in tree.find_all(nodes.Name) if id(node) not in loops]
    own = {name: f"column_{number}" for number, name in enumerate(sorted({node.name for node in renamed}))}
    for node in renamed:
        node.name = own[node.name]
    used = meta.find_undeclared_variables(tree)
    return PromptTemplate(
        environment.from_string(tree), {name: known_as for name, known_as in own.items() if known_as in used}
    )


def check_template(what: str, text: str, columns: Collection[str], answer: str) -> frozenset[str]:
    """The columns that a template uses; ``what`` names it in errors, ``answer`` is the column that it may not see.

    Raises TransformationError for what can be told before rows are rendered: a text that is no template, a name that is
    no column (with the nearest) or that Jinja2 keeps for itself, the answer's name in any place, a reach out of the
    sandbox.
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
        raise TransformationError(f"{what}: {answer!r} is the output, which the prompt may not tell; leave it out")
    unknown = sorted(template.columns - set(columns))
    if unknown:
        raise TransformationError(f"{what}: {'; '.join(_unknown(name, columns) for name in unknown)}")
    return template.columns


def _unknown(name: str, columns: Collection[str]) -> str:
    dotted = sorted(column for column in columns if column.startswith(f"{name}."))
    if dotted:
        return (
            f"{name!r} is not a column of the rows; a template cannot name {dotted[0]!r}, since Jinja2 takes the dot for "
            "an attribute: rename the column, or use format_fn"
        )
    return f"{name!r} is not a column of the rows. {nearest(name, columns)}"


def _another_name(words: list[str]) -> str:
    return (
        f"Jinja2 keeps {words} for itself, so that a column of such a name needs another: a Lookup's prefix= gives one"
    )


def _refusals(tree: nodes.Template, text: str, columns: Collection[str]) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, _REACHES_FOR_OTHERS):
            yield f"line {node.lineno} names another template"
        elif not isinstance(node, _ALLOWED):
            yield f"line {node.lineno} holds a {type(node).__name__.lower()}, which is not possible here"
    for name, line in _attributes(tree):
        if isinstance(name, str) and name.startswith("_"):
            yield f"line {line} asks for {name!r}, which the sandbox refuses"
    for node in tree.find_all(nodes.Name):
        if node.name == "loop" and node.ctx != "load":
            yield f"line {node.lineno} gives a value to 'loop', which is Jinja2's"
    if "loop" in columns and any(True for _ in _loops(tree)):
        yield f"'loop' is a column, and Jinja2's inside a loop. {_another_name(['loop'])}"
    for line, word in _words(text):
        if word in _CONSTANTS and word in columns:
            yield f"line {line} holds {word!r}. {_another_name([word])}"


def _attributes(tree: nodes.Template) -> Iterator[tuple[Any, int]]:
    for read in tree.find_all(nodes.Getattr):
        yield read.attr, read.lineno
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const):
            yield item.arg.value, item.lineno
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name == "attr" and filtered.args and isinstance(filtered.args[0], nodes.Const):
            yield filtered.args[0].value, filtered.lineno


def _loops(node: nodes.Node, inside: bool = False) -> Iterator[nodes.Name]:
    """The names that stand for the loop they are in, as in ``loop.index``."""
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        if inside and node.node.name == "loop" and node.attr in _OF_A_LOOP:
            yield node.node
        return
    body = {id(child) for child in node.body} if isinstance(node, nodes.For) else set()
    for child in node.iter_child_nodes():
        yield from _loops(child, inside or id(child) in body)


def _words(text: str) -> Iterator[tuple[int, str]]:
    """The names of a template with their lines, as its lexer sees them; not those of attributes, filters and tests."""
    before = ("", "")
    try:
        for line, kind, word in PromptEnvironment().lex(text):
            if kind == "name" and before[1] not in (".", "|", "is") and before != ("is", "not"):
                yield line, word
            if kind != "whitespace":
                before = (before[1], word)
    except TemplateSyntaxError:
        return
