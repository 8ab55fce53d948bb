"""20,000 hostile texts from a grammar: SQL that passes the check is rewritten from known words and declared tables."""

import re

from featurestore.definitions.sql.functions import ALLOWED, TABLE_FUNCTIONS
from featurestore.definitions.sql.select_statement import check_select
from featurestore.errors import TransformationError
from tests.inputs.sql_fragments import hostile

QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`]|``)*`")
KEYWORDS = set(
    re.findall(
        r"\w+",
        "SELECT FROM WHERE AS WITH UNION ALL LIMIT OFFSET AND OR NOT IN IS NULL EXISTS JOIN CROSS LATERAL VIEW ON TRUE ORDER BY "
        "DESC ASC OVER WINDOW QUALIFY HAVING GROUP DISTINCT INTERSECT EXCEPT LIKE BETWEEN CASE WHEN THEN ELSE END CAST ESCAPE "
        "NULLS FIRST LAST VALUES LEFT RIGHT FULL OUTER INNER SEMI ANTI NATURAL USING RLIKE DIV INT X",
    )
)


def test_no_hostile_text_of_20000_reads_anything_but_its_sources() -> None:
    passed = {}
    for sql in hostile(20_000, "/srv/canary"):
        try:
            passed[check_select(sql, ["o"])] = sql
        except TransformationError:
            continue

    # The disguises leave enough harmless texts, or the test would show nothing.
    assert len(passed) > 200
    assert {text: sql for text, sql in passed.items() if (faults := unexpected(text))} == {}, faults


def test_the_look_at_a_text_objects_to_what_must_not_be_in_it() -> None:
    texts = [
        "SELECT `a` FROM `o` -- `x`",
        "SELECT `a` FROM `o` /* x */",
        "SELECT `a` FROM `o`; SELECT 1",
        "SELECT `a` FROM `canary`",
        "SELECT `a` FROM `o` CROSS JOIN `canary`",
        "SELECT `a` FROM (`canary`) AS `z`",
        "SELECT `a` FROM `delta`.`/x`",
        "SELECT reflect(`a`) FROM `o`",
        "SELECT `a` FROM `o` TABLESAMPLE (1 PERCENT)",
    ]

    assert [text for text in texts if not unexpected(text)] == []


def unexpected(text: str) -> list[str]:
    """Comments, words and tables that no allowed text has; looked for by other means than the check itself."""
    outside = QUOTED.sub(lambda quoted: "_" if quoted[0][0] == "`" else "''", text)
    words = set(re.findall(r"[A-Za-z]\w*", outside))
    unquoted = QUOTED.sub(lambda quoted: quoted[0] if quoted[0][0] == "`" else "''", text)
    tables = re.findall(r"\b(?:FROM|JOIN|LATERAL)\s+\(*(`(?:[^`]|``)*`(?:\.`(?:[^`]|``)*`)*)", unquoted)
    names = {name.lower() for pair in re.findall(r"WITH (`\w+`)|, (`\w+`) AS \(", unquoted) for name in pair if name}
    return [
        *re.findall(r"--|/\*|\*/|;|[^\x20-\x7e]", outside),
        *sorted(word for word in words if word not in KEYWORDS and word.lower() not in ALLOWED | TABLE_FUNCTIONS),
        *sorted(table for table in tables if table.lower() not in {"`o`"} | names),
    ]
