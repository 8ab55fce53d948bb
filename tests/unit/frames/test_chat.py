"""Rows as chat messages: what templates may do, what messages must be, and what each row becomes."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from featurestore.errors import TransformationError
from featurestore.frames.text.chat import ChatFormat, LineMaker, chat_lines, json_line, messages_fault
from featurestore.frames.text.chat_template import check_template, compile_template
from featurestore.frames.text.value_text import value_text

COLUMNS = ["user_id", "question", "score", "tags", "reply"]
AWKWARD = 'He said "no"\n\t{"role": "system"} {{ name }} \\ ünïcødé 🎉 \u2028 \x00'


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ qestion }}", r"template: 'qestion' is not a column of the rows\. Did you mean 'question'\?"),
        ("{{ nothing|default('x') }} {{ scor }}", r"'nothing' is not a column.*; 'scor' .*Did you mean 'score'"),
        ("{{ reply }}", "'reply' is the output, which the prompt must not contain"),
        ("one\n{% if score %}", "template, line 2: Unexpected end of template"),
        ("{{ score|upcase }}", "template, line 1: No filter named 'upcase'"),
        ("{{ ''.__class__.__mro__ }}", "line 1 reads '__.*', which the sandbox refuses"),
        ("{{ question['__class__'] }}", "reads '__class__', which the sandbox refuses"),
        ("{{ question|attr('__class__') }}", "reads '__class__', which the sandbox refuses"),
        ("{% include '/etc/passwd' %}", "line 1 names another template"),
        ("{% import 'os' as os %}", "line 1 names another template"),
        ("{{ lipsum() }}", "'lipsum' is not a column"),
        ("{% for tag in tags %}{{ loop }}{% endfor %}", "'loop' is not a column"),
        ("{{ namespace(x=1) }} {{ range(3) }}", "'namespace' is not a column.*'range' is not a column"),
        ("{{ tags|random }}", "No filter named 'random'"),
    ],
)
def test_what_is_wrong_with_a_template_is_told_before_any_row(text: str, message: str) -> None:
    with pytest.raises(TransformationError, match=message):
        check_template("template", text, COLUMNS, "reply")


def test_a_template_may_do_all_else_and_tells_which_columns_it_uses() -> None:
    text = "{% for tag in tags %}{{ loop.index }}. {{ tag|upper }} {% endfor %}{% set n = 2 %}{{ n + 1 }} {{ question|tojson }}"

    assert check_template("template", text, COLUMNS, "reply") == {"tags", "question"}
    assert compile_template(text).render({"tags": ["a"], "question": '<"é">'}) == '1. A 3 "<\\"é\\">"'


# Each is a name that Jinja2 knows of itself, or a word of its grammar that may stand where a name may.
@pytest.mark.parametrize(
    "name",
    [
        *("range", "dict", "cycler", "joiner", "namespace", "lipsum", "self", "loop", "super", "caller", "varargs"),
        *("kwargs", "_", "__class__", "environment", "context", "resolve", "l_0_price", "in", "is", "and", "if"),
        *("for", "ünïcødé"),
    ],
)  # fmt: skip
def test_a_template_shows_the_column_of_any_name_and_never_the_output(name: str) -> None:
    text = "{{ " + name + " }} km"

    assert check_template("template", text, [name, "reply"], "reply") == {name}
    assert compile_template(text).render({name: 400.0, "reply": "secret"}) == "400.0 km"
    assert compile_template("{% for tag in tags %}" + text + "{% endfor %}").render({"tags": [1], name: 2}) == "2 km"
    with pytest.raises(TransformationError, match="is not a column"):
        check_template("template", text, ["reply"], "reply")
    for spelled in (text, "{% for tag in tags %}" + text + "{% endfor %}", "{% set x = " + name + " %}{{ x }}",
                    "{{ tags|default(" + name + ") }}", "{{ " + name + "['x'] }}", "{{ tags[" + name + "] }}",
                    "{% set " + name + " = 1 %}", "{{ tags|map('default', " + name + ")|list }}"):  # fmt: skip
        with pytest.raises(TransformationError, match=f"'{name}' is the output|gives a value to 'loop'"):
            check_template("template", spelled, ["tags", name], name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ true }}", r"line 1 holds 'true'. Jinja2 reserves \['true'\].* a Lookup's prefix= gives one"),
        ("{{ none }}", "line 1 holds 'none'"),
        ("{{ not }}", r"see Jinja2's syntax. Jinja2 reserves \['not'\]"),
        (
            "{% for tag in tags %}{{ loop.index }}{% endfor %}",
            "'loop' is a column, and Jinja2's own name inside a loop",
        ),
        ("{{ dest.temp }}", "'dest' is not a column of the rows; a template cannot name 'dest.temp'"),
        ("{{ self.reply }}", "'self' is not a column"),
        ("{{ self._TemplateReference__context }}", "reads '_TemplateReference__context'"),
        ("{% macro shown(x) %}{{ x }}{% endmacro %}", "line 1 holds a macro, which is not possible here"),
        ("{% block a %}{{ super() }}{% endblock %}", "line 1 holds a block"),
        ("{% call tags() %}{% endcall %}", "line 1 holds a callblock"),
        ("{% autoescape true %}{% endautoescape %}", "holds a scopedevalcontextmodifier"),
        ("{% set tags.x = 1 %}", "holds a nsref"),
    ],
)
def test_a_name_that_a_template_cannot_say_is_explained(text: str, message: str) -> None:
    columns = ["tags", "true", "none", "not", "loop", "dest.temp", "reply"]
    with pytest.raises(TransformationError, match=message):
        check_template("template", text, columns, "reply")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ score }}|{{ score ~ '' }}|{{ score|string }}|{{ '%s' % score }}|{{ '{}'.format(score) }}", "||||"),
        ("{{ score|upper }}|{{ score|trim }}|{{ tags|join(',') }}|{{ [score]|join }}", "||a,|"),
        ("{{ score|default('unknown') }} {{ score|d('x') }} {{ score or 'y' }}", "unknown x y"),
        ("{{ score is none }} {{ score == none }} {{ score is defined }} {{ not score }}", "True True True True"),
        ("{{ score|tojson }} {{ tags|tojson }} {{ tags }} {{ none }}", "null [\"a\", null] ['a', None] "),
        ("{{ tags|map('default', '-')|list }} {{ tags|map('default', '-') }}", "['a', '-'] ['a', '-']"),
        ("{{ pairs.items }} {{ pairs.keys() | list }}", "3 ['items']"),
    ],
)
def test_a_missing_value_is_an_empty_text_and_can_be_asked_for(text: str, rendered: str) -> None:
    row = {"score": None, "tags": ["a", None], "pairs": {"items": 3}}

    assert check_template("template", text, row, "reply") <= set(row)
    assert compile_template(text).render(row) == rendered


def test_values_as_text() -> None:
    values = [
        None,
        True,
        3,
        0.1,
        "x",
        datetime(2026, 11, 1, 12, tzinfo=UTC),
        date(2026, 11, 1),
        Decimal("1E-7"),
        [1, "é"],
    ]

    assert [value_text(value) for value in values] == [
        "null", "true", "3", "0.1", "x", "2026-11-01T12:00:00Z", "2026-11-01", "0.0000001", '[1, "é"]',
    ]  # fmt: skip


@pytest.mark.parametrize(
    "messages",
    [
        [user("q"), assistant("a")],
        [system("s"), user("q"), assistant("a")],
        [user("q"), assistant("a"), user(AWKWARD), assistant(AWKWARD)],
    ],
)
def test_right_messages_are_one_line_that_reads_back(messages: list[dict[str, str]]) -> None:
    assert messages_fault(messages) is None
    line = json_line(messages)
    assert line.splitlines() == [line]
    assert json.loads(line) == {"messages": messages}


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], r"roles are \[\]"),
        ([user("q")], r"roles are \['user'\]"),
        ([assistant("a"), user("q")], "roles are"),
        ([user("q"), system("s"), assistant("a")], "roles are"),
        ([system("s"), system("s"), user("q"), assistant("a")], "roles are"),
        ([user("q"), assistant("a"), user("q")], "roles are"),
        ([user("q"), user("q")], "roles are"),
        ([user(" \n"), assistant("a")], "message 1: the user's content is blank"),
        ([user("q"), assistant(None)], "message 2: the assistant's content is NoneType"),
        ([user("q"), {"role": "bot", "content": "a"}], "message 2: role is 'bot'; possible: system, user, assistant"),
        ([user("q"), {"role": "assistant"}], r"message 2: its keys are \['role'\]"),
        ([user("q"), "a"], "message 2: expected a mapping, found str"),
        ([user("\ud83c"), assistant("a")], "half a surrogate pair"),
        (None, "expected a list of messages, found NoneType"),
        (7, "expected a list of messages, found int"),
    ],
)
def test_wrong_messages_are_told(messages: Any, fault: str) -> None:
    found_fault = messages_fault(messages)
    assert found_fault is not None
    assert re.search(fault, found_fault)


def messages_or_reason(row: dict[str, Any], **options: Any) -> Any:
    """What a row becomes: its messages, or the reason that it has none, and what was found."""
    form = ChatFormat(inputs=("question",), output="reply", identified_by=("user_id",), **options)
    reason, detail, line = LineMaker(form).line("all", row)
    return json.loads(line)["messages"] if line is not None else (reason, detail)


ROW = {"user_id": "u1", "question": "why?", "score": None, "reply": "because"}


def test_a_row_becomes_messages_by_template_by_function_or_by_its_inputs() -> None:
    answer = assistant("because")

    assert messages_or_reason(ROW) == [user("question: why?"), answer]
    assert messages_or_reason(ROW, template="{{ question }} {{ score }}", system="For {{ user_id }}") == [
        system("For u1"), user("why? "), answer,
    ]  # fmt: skip
    functions: list[tuple[Callable[[dict[str, Any]], Any], Any]] = [
        (lambda row: row["question"].upper(), [user("WHY?"), answer]),
        (lambda row: [user("q"), assistant(row["reply"] + "!")], [user("q"), assistant("because!")]),
        (lambda row: {"messages": [user("q"), assistant("a")]}, [user("q"), assistant("a")]),
        (lambda row: ({"content": "q", "role": "user"}, assistant("a")), [user("q"), assistant("a")]),
    ]
    for function, expected in functions:
        assert messages_or_reason(ROW, format_fn=function) == expected
        assert messages_or_reason(ROW, format_fn=function, system="s") == [system("s"), *expected]
    own = [system("own"), user("q"), assistant("a")]
    assert messages_or_reason(ROW, format_fn=lambda row: own, system="s") == own


def test_a_row_without_messages_has_its_reason() -> None:
    for missing in (None, "", " \n\t"):
        assert messages_or_reason(ROW | {"reply": missing}) == ("the output is missing", None)
    assert messages_or_reason(ROW | {"reply": 0.0}) == [user("question: why?"), assistant("0.0")]
    assert messages_or_reason(ROW, template="{{ score + 1 }}") == (
        "the template failed",
        "user_id=u1: TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'",
    )
    assert messages_or_reason(ROW, template="{{ question.nothing }}") == (
        "the template failed",
        "user_id=u1: UndefinedError: 'str object' has no attribute 'nothing'",
    )
    assert messages_or_reason(ROW, template="{{ score or '' }}") == (
        "not valid messages",
        "user_id=u1: message 1: the user's content is blank",
    )
    assert messages_or_reason(ROW, format_fn=lambda row: row["nothing"]) == (
        "format_fn failed",
        "user_id=u1: KeyError: 'nothing'",
    )
    assert messages_or_reason(ROW, format_fn=lambda row: {"prompt": "q"}) == (
        "not valid messages",
        "user_id=u1: expected a list of messages, found a mapping of ['prompt'], where 'messages' alone is possible",
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ question[('_' ~ '_class__')] }}",
        "{{ question|attr('_' ~ '_class__') }}",
        "{{ tags.append(1) }}",
        "{{ '{0.__class__}'.format(question) }}",
        "{{ question.upper }}",
        "{{ question.upper ~ '' }}",
        "{{ question['upper']|string }}",
        "{{ [question.upper]|join }}",
        "{{ at.now() }}",
        "{{ at.astimezone() }}",
        "{{ at|attr('today') }}",
    ],
)
def test_a_way_out_of_the_sandbox_that_only_a_row_shows_is_refused(template: str) -> None:
    check_template("template", template, [*COLUMNS, "at"], "reply")

    reason, _ = messages_or_reason(ROW | {"tags": ["a"], "at": datetime(2026, 11, 1, tzinfo=UTC)}, template=template)
    assert reason == "the sandbox refused the template"


def chats(frame: DataFrame, form: ChatFormat, seed: int = 0) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in chat_lines(frame, form, seed).collect())


def test_templates_get_python_values_in_utc(spark: SparkSession) -> None:
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    frame = (
        session.range(1)
        .select(
            F.lit("u1").alias("user_id"),
            F.timestamp_micros(F.lit(0)).alias("at"),
            F.expr("cast(0.1 as float)").alias("small"),
            F.expr("array(cast(0.1 as float), null)").alias("vector"),
            F.expr("date'2026-11-01'").alias("day"),
            F.lit(True).alias("yes"),
            F.lit(None).alias("nothing"),
            F.lit("a").alias("reply"),
        )
        .drop("mapped")
    )
    form = ChatFormat(("at",), "reply", ("user_id",), format_fn=lambda row: repr(sorted(row.items())))

    [(_, _, _, reason, detail, line, missing)] = chats(frame, form)
    assert (reason, detail, missing) == (None, None, [])
    content = json.loads(line)["messages"][0]["content"].replace("zoneinfo.ZoneInfo(key='UTC')", "UTC")
    assert content == (
        "[('at', datetime.datetime(1970, 1, 1, 0, 0, tzinfo=UTC)), ('day', datetime.date(2026, 11, 1)), ('nothing', None), "
        "('reply', 'a'), ('small', 0.1), ('user_id', 'u1'), ('vector', [0.1, None]), ('yes', True)]"
    )


def test_hashes_and_lines_do_not_depend_on_the_partitioning(spark: SparkSession) -> None:
    rows = [("u1", "q", "a"), ("u1", "q", "a"), ("u2", None, "b"), ("u3", "q", None), ("u4", AWKWARD, AWKWARD)]
    frame = spark.createDataFrame(rows, "user_id string, question string, reply string")
    form = ChatFormat(("question",), "reply", ("user_id",), columns=("user_id", "question", "reply"))

    once = chats(frame.coalesce(1), form)
    assert once == chats(frame.repartition(4), form)
    assert [line[1:3] for line in once] != [line[1:3] for line in chats(frame.coalesce(1), form, seed=1)]
    assert [line[6] for line in sorted(once, key=str) if line[3] is None].count(["question"]) == 1
    assert sorted((line[3] or json.loads(line[5])["messages"][0]["content"]) for line in once) == sorted(
        ["question: q", "question: q", "question: null", "the output is missing", f"question: {AWKWARD}"]
    )


def test_rows_in_no_part_are_told_apart(spark: SparkSession) -> None:
    rows = [("train", "a"), ("embargo", "a"), (None, "a"), ("validation", None)]
    frame = spark.createDataFrame(rows, "split string, reply string")

    lines = chat_lines(frame, ChatFormat((), "reply", (), template="q"), 0, "split").collect()
    assert {line["part"]: line["reason"] for line in lines} == {
        "train": None,
        "embargo": "in the embargo before a part",
        None: "in no part of the split",
        "validation": "the output is missing",
    }
