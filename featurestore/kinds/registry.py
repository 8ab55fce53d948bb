"""The kinds, by the words that users write."""

from __future__ import annotations

from functools import cache

from featurestore.definitions.values.types import parse_type
from featurestore.kinds.arrays import Embedding, NumberArray, StringArray
from featurestore.kinds.boolean import BOOLEAN
from featurestore.kinds.day import DATE
from featurestore.kinds.document import JSON
from featurestore.kinds.floating import DOUBLE, FLOAT
from featurestore.kinds.kind import Kind
from featurestore.kinds.moment import TIMESTAMP
from featurestore.kinds.text import STRING
from featurestore.kinds.whole import INT, LONG

KINDS: dict[str, Kind] = {
    kind.word: kind
    for kind in (
        DOUBLE,
        FLOAT,
        LONG,
        INT,
        BOOLEAN,
        STRING,
        TIMESTAMP,
        DATE,
        JSON,
        NumberArray("array<double>"),
        StringArray("array<string>"),
    )
}


@cache
def kind_of(word: str) -> Kind:
    """The kind of a feature type or a join key type; raises ValueError for a word that is neither."""
    return Embedding(word) if parse_type(word).is_embedding else KINDS[word]
