"""Write embeddings of texts, calling the user's model only for texts that have no vector in the group yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pickle import PicklingError

import pyarrow as pa

from featurestore.columnar.names import check_names
from featurestore.columnar.rows.local_rows import arrow_from_pandas, arrow_from_table
from featurestore.definitions.feature import Feature
from featurestore.definitions.feature_group import FeatureGroup
from featurestore.definitions.names import parse_reference
from featurestore.display.description import Display, count
from featurestore.display.displayed import Displayed
from featurestore.errors import InvalidArgumentError, SchemaError, TransformationError
from featurestore.frames.columns import column
from featurestore.frames.rows.conform import FAULTS, ROW, check_column_names
from featurestore.frames.vectors.text_vectors import HASH, VECTOR, Model, TextModel, embedded, new_texts, with_text_hash
from featurestore.late_pandas import pd
from featurestore.late_spark import DataFrame, F, T, spark_errors
from featurestore.operations.context import Context, Scope, check_stored
from featurestore.operations.instants import argument_count
from featurestore.operations.writing.batch import WriteResult
from featurestore.operations.writing.ingest import write_batch
from featurestore.stores.arrow import to_spark


@dataclass(frozen=True)
class EmbedResult(Displayed):
    """``write``: the result for the rows. Of their distinct texts, ``reused`` had a vector and ``embedded`` got one."""

    write: WriteResult
    reused: int
    embedded: int

    def display(self) -> Display:
        """The result of the write, and the number of texts that the model embedded."""
        display = self.write.display()
        texts = (("texts embedded", count(self.embedded)), ("texts that had a vector", count(self.reused)))
        return replace(display, facts=(*display.facts, *texts))


@dataclass(frozen=True, kw_only=True)
class EmbedRequest:
    """The column of texts, its embedding and the model; ``OfflineStore.embed_texts`` explains each field."""

    feature: str
    text: str
    model: Model
    hash_feature: str
    batch_size: int
    attempts: int
    batch_id: str | None


def embed_texts(scope: Scope, rows: DataFrame | pd.DataFrame | pa.Table, request: EmbedRequest) -> EmbedResult:
    """Write the rows with the vector of each one's text as the embedding; see ``OfflineStore.embed_texts``.

    Raises InvalidArgumentError, NotFoundError, SchemaError (no such column), TransformationError (the model failed, or
    did not give one vector per text; nothing is written), and what ``write_batch`` raises.
    """
    text, reference = request.text, request.feature
    group_name, name = parse_reference(reference)
    group = scope.group_with_values(group_name)
    check_stored(group, "writing")
    feature = group.feature(name)
    model = _model(feature, request)
    hashes = _hash_feature(group, request.hash_feature)
    frame = _read_rows(scope.context, rows, text, group)
    text_feature = [text] if text in group.feature_names else []
    others = [name for name in frame.columns if name not in (text, feature.name, hashes.name)]
    # Check before calling the model: its vectors cost money and would be lost.
    users_columns = [name for name in others if name not in (FAULTS, ROW)]
    check_column_names([*users_columns, *text_feature, feature.name, hashes.name], group)
    # Persist: lookup, embedding and write must see the same rows, and calling the model takes time and money.
    hashed = with_text_hash(frame, text).persist()
    known = _known(scope, group, feature, hashes, hashed).persist()
    made = _embedded(new_texts(hashed, text, known), model, reference).persist()
    try:
        count = _made(made, reference)
        written = hashed.join(known.unionByName(made), HASH, "left")
        stored = written.select(
            *map(column, (*others, *text_feature)), column(VECTOR).alias(feature.name), column(HASH).alias(hashes.name)
        )
        reused = known.count()
        result = write_batch(scope, group, stored, batch_id=request.batch_id, on_invalid="quarantine")
        return EmbedResult(result, reused, count)
    finally:
        for frame in (made, known, hashed):
            frame.unpersist()


def _read_rows(
    context: Context, rows: DataFrame | pd.DataFrame | pa.Table, text: str, group: FeatureGroup
) -> DataFrame:
    """The rows, read like those of a batch, with the column of texts as strings; raises SchemaError."""
    subject = f"the rows to embed for {group.name!r}"
    if not isinstance(rows, DataFrame | pd.DataFrame | pa.Table):
        raise SchemaError(f"{subject} are {type(rows).__name__}; give a Spark or pandas DataFrame or a pyarrow Table")
    names = rows.column_names if isinstance(rows, pa.Table) else list(rows.columns)
    if text not in check_names(names, subject, SchemaError):
        raise SchemaError(f"the rows have no column {text!r} to embed; they have {names}")
    if isinstance(rows, pd.DataFrame):
        frame = to_spark(context.spark, arrow_from_pandas(rows, group, context.settings.timestamp_zone, text))
    elif isinstance(rows, pa.Table):
        frame = to_spark(context.spark, arrow_from_table(rows, group, text))
    else:
        frame = rows
    kind = frame.schema[text].dataType
    if not isinstance(kind, T.StringType | T.NullType):
        raise SchemaError(f"{subject}: column {text!r} is {kind.simpleString()}; texts to embed are strings")
    return frame.withColumn(text, column(text).cast("string"))


def _embedded(texts: DataFrame, model: TextModel, reference: str) -> DataFrame:
    try:
        return embedded(texts, model)
    except PicklingError as error:
        raise TransformationError(
            f"the model of {reference!r} cannot be sent to the executors: {error}; make objects such as locks and "
            "connections inside the call"
        ) from error


def _made(made: DataFrame, reference: str) -> int:
    try:
        return made.count()
    except spark_errors.PythonException as error:
        last = [line for line in str(error).splitlines() if line.strip() and not line.startswith((" ", "JVM"))]
        message = next((line for line in reversed(last) if "Error" in line or "Exception" in line), last[-1])
        raise TransformationError(
            f"the model of {reference!r} failed, and nothing was written: {message.strip()}; fix it, and write the "
            "rows again: texts that were embedded before are not embedded again"
        ) from error


def _model(feature: Feature, request: EmbedRequest) -> TextModel:
    dims = feature.feature_type.dims
    if dims is None:
        raise InvalidArgumentError(
            f"feature {request.feature!r} is {feature.type}; only an embedding(dims) can hold vectors"
        )
    if not callable(request.model):
        raise InvalidArgumentError(
            f"model is {request.model!r}; give a function that takes a list of texts and returns one vector per text"
        )
    for word, number in (("batch_size", request.batch_size), ("attempts", request.attempts)):
        argument_count(word, number)
    return TextModel(request.model, dims, request.batch_size, request.attempts)


def _hash_feature(group: FeatureGroup, name: str) -> Feature:
    feature = group.feature(name)
    if feature.type != "string":
        raise InvalidArgumentError(
            f"feature {group.name}:{name} is {feature.type}; the hash of the text needs a string feature of the group"
        )
    return feature


def _known(scope: Scope, group: FeatureGroup, feature: Feature, hashes: Feature, rows: DataFrame) -> DataFrame:
    """``HASH`` and ``VECTOR`` of the rows' texts that the tenant has stored already, by the feature's own model."""
    model_column = str(feature.model_version_column)
    values = scope.read_values(group, [feature.name, model_column, hashes.name])
    of_model = values.where(
        (column(model_column) == F.lit(feature.default_model_version))
        & column(feature.name).isNotNull()
        & column(hashes.name).isNotNull()
    ).select(column(hashes.name).alias(HASH), column(feature.name).alias(VECTOR))
    hashes_of_rows = rows.select(HASH).distinct()
    # A model may be random, so one text can have several stored vectors; always taking the least is deterministic.
    return of_model.join(hashes_of_rows, HASH, "semi").groupBy(HASH).agg(F.min(VECTOR).alias(VECTOR))
