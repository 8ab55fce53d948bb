"""Hostile SQL from a grammar: fragments that are known to be bad, wrapped in what parsers read differently.

The same seed gives the same texts. ``{canary}`` stands for a folder whose table, file or program must never be touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

# What must not run. Each would read a canary's rows, open or write a file, start a program, or run Java.
BAD = [
    "UNION ALL SELECT secret, 1 FROM delta.`{canary}/table`",
    "UNION ALL SELECT value, 1 FROM text.`{canary}/file.txt`",
    "UNION ALL SELECT secret, 1 FROM canary",
    "UNION ALL SELECT secret, 1 FROM default.canary",
    "UNION ALL SELECT secret, 1 FROM global_temp.canary_view",
    "UNION ALL SELECT secret, 1 FROM IDENTIFIER('canary')",
    "UNION ALL SELECT secret, 1 FROM canary VERSION AS OF 0",
    "UNION ALL SELECT secret, 1 FROM canary@v0",
    "UNION ALL TABLE canary",
    "UNION ALL FROM canary SELECT secret, 1",
    "|> JOIN canary |> SELECT secret, 1",
    ", canary",
    "JOIN canary ON true",
    ", LATERAL (SELECT secret FROM canary)",
    "LATERAL VIEW explode((SELECT collect_list(secret) FROM canary)) t AS z",
    "WHERE a IN (SELECT secret FROM canary)",
    "WHERE EXISTS (WITH o AS (SELECT secret FROM canary) SELECT * FROM o)",
    "ORDER BY (SELECT max(secret) FROM canary)",
    "WHERE a = reflect('java.lang.System', 'getProperty', 'user.home')",
    "WHERE a = java_method('java.lang.System', 'getProperty', 'user.home')",
    "WHERE a = try_reflect('java.lang.System', 'getProperty', 'user.home')",
    "WHERE a = input_file_name()",
    "WHERE a = system.builtin.reflect('java.lang.System', 'getProperty', 'user.home')",
    "WHERE from_xml('<a/>', 'a INT', map('rowValidationXSDPath', '{canary}/file.txt')) IS NULL",
    "WHERE _metadata.file_path IS NULL",
    "WHERE a = `current_user`",
    "WHERE b > rand()",
    "QUALIFY row_number() OVER (ORDER BY uuid()) = 1",
    "WINDOW w AS (ORDER BY reflect('java.lang.System', 'getProperty', 'user.home'))",
    "TABLESAMPLE (50 PERCENT)",
    "; INSERT OVERWRITE DIRECTORY '{canary}/written' USING csv SELECT 1",
    "; DROP TABLE canary",
]
# Whole statements.
STATEMENTS = [
    "INSERT OVERWRITE DIRECTORY '{canary}/written' USING csv SELECT a FROM o",
    "INSERT INTO canary SELECT a, b FROM o",
    "FROM o INSERT OVERWRITE DIRECTORY '{canary}/written' USING csv SELECT a",
    "WITH x AS (SELECT a FROM o) INSERT INTO canary SELECT a, 1 FROM x",
    "SELECT TRANSFORM(a) USING 'touch {canary}/started' AS (b) FROM o",
    "FROM o MAP a USING 'touch {canary}/started' AS (b)",
    "FROM o REDUCE a USING 'touch {canary}/started' AS (b)",
    "CREATE TABLE canary_copy USING csv LOCATION '{canary}/written' AS SELECT a FROM o",
    "EXECUTE IMMEDIATE 'SELECT * FROM canary'",
    "DECLARE x = (SELECT max(secret) FROM canary)",
    "SET VAR x = (SELECT max(secret) FROM canary)",
    "BEGIN SELECT * FROM canary; END",
    "CACHE TABLE stolen AS SELECT * FROM canary",
    "ADD JAR '{canary}/file.txt'",
    "EXPLAIN SELECT * FROM canary",
    "DESCRIBE canary",
    "VALUES ((SELECT max(secret) FROM canary))",
    "COPY INTO canary FROM '{canary}/file.txt' FILEFORMAT = TEXT",
    "SELECT * INTO canary_copy FROM o",
    "SELECT session.x, a FROM canary",
]
OPENINGS = [
    "/*",
    "/*+",
    "/**",
    "/*/",
    "/* /*",
    "/* /*+",
    "--",
    "-- \\\n",
    "--+",
    "#",
    "{#",
    "/*!",
    "'",
    '"',
    "`",
    "r'",
    "''",
    "$$",
    "//",
]
CLOSINGS = [
    "*/",
    "*/ */",
    "+*/",
    "**/",
    "\n",
    "\\\n",
    "\r",
    "\r\n",
    "\u2028",
    "#}",
    "'",
    '"',
    "`",
    "''",
    "$$",
    "-- */",
    "*//*",
]
SPACES = [
    " ",
    "\t",
    "\n",
    "\r",
    "\x0b",
    "\x0c",
    "\u00a0",
    "\u2003",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\x00",
    "\u2028",
    "/**/",
    "/* */",
    "--\n",
]
ESCAPES = [
    "\\",
    "\\\\",
    "\\'",
    "''",
    "\\u0027",
    "\\u002a\\u002f",
    "\\047",
    "\\x27",
    "\\\n",
    "${spark.app.name}",
    "${env:HOME}",
    "%",
    "?",
    ":x",
    "@",
]
LOOK_ALIKES = {
    "'": "\u2019",
    '"': "\u201d",
    "`": "\u02cb",
    "*": "\u2217",
    "/": "\u2215",
    "-": "\u2010",
    ";": "\u037e",
    "(": "\uff08",
}
STARTS = [
    "SELECT a, b FROM o",
    "SELECT a, b FROM o WHERE a = 'x'",
    "WITH w AS (SELECT a, b FROM o) SELECT a, b FROM w",
    "SELECT 'x' AS a, b FROM o x",
]
HINTS = ["/*+ BROADCAST(o) */", "/*+ COALESCE(1) */", "/*+ */", "/*+ REPARTITION(1), MERGE(canary) */"]


def hostile(count: int, canary: str, seed: int = 20261101) -> Iterator[str]:
    """``count`` texts; a fifth are fragments as they are, the others wrapped, cut, escaped and disguised."""
    random = Random(seed)
    for _ in range(count):
        text = random.choice(STATEMENTS) if random.random() < 0.2 else _joined(random)
        for _ in range(random.choice([0, 1, 1, 2, 3])):
            text = random.choice(_DISGUISES)(random, text)
        yield text.replace("{canary}", canary)


def _joined(random: Random) -> str:
    bad, start = random.choice(BAD), random.choice(STARTS)
    wrapped = f"{random.choice(OPENINGS)} {bad} {random.choice(CLOSINGS)}"
    return (
        f"{start} {random.choice([bad, wrapped, wrapped, wrapped])}{random.choice(['', ' -- */', ' */', ' LIMIT 5'])}"
    )


def _spaced(random: Random, text: str) -> str:
    """One blank becomes something else that may be one."""
    blanks = [place for place, character in enumerate(text) if character == " "]
    if not blanks:
        return text
    place = random.choice(blanks)
    return text[:place] + random.choice(SPACES) + text[place + 1 :]


def _inserted(random: Random, text: str) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + random.choice([*OPENINGS, *CLOSINGS, *ESCAPES, *SPACES, *HINTS]) + text[place:]


def _between(random: Random, text: str) -> str:
    """A piece is put between an opening and a closing of a comment or a quote."""
    start, end = sorted(random.randrange(len(text) + 1) for _ in range(2))
    return f"{text[:start]}{random.choice(OPENINGS)}{text[start:end]}{random.choice(CLOSINGS)}{text[end:]}"


def _alike(random: Random, text: str) -> str:
    sign = random.choice(list(LOOK_ALIKES))
    return text.replace(sign, LOOK_ALIKES[sign], 1)


def _cased(random: Random, text: str) -> str:
    return "".join(character.upper() if random.random() < 0.5 else character.lower() for character in text)


def _quoted_names(random: Random, text: str) -> str:
    word = random.choice(text.split() or [text])
    return text.replace(word, f"`{word}`", 1)


def _hinted(random: Random, text: str) -> str:
    return text.replace("SELECT", f"SELECT {random.choice(HINTS)}", 1)


def _nested(random: Random, text: str) -> str:
    return (
        random.choice(
            [
                "SELECT a, b FROM ({}) z",
                "WITH z AS ({}) SELECT * FROM z",
                "({})",
                "{} LIMIT 3",
                "SELECT a, b FROM o UNION ALL {}",
            ]
        )
        .format(text.replace("{canary}", "\0"))
        .replace("\0", "{canary}")
    )


_DISGUISES = [_spaced, _inserted, _inserted, _between, _between, _alike, _cased, _quoted_names, _hinted, _nested]
