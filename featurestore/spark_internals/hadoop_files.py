"""Files beside the tables, on any file system that a Spark session knows, through Hadoop's Java classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from featurestore.errors import RuntimeSetupError
from featurestore.late_spark import SparkSession, is_remote, py4j_errors, spark_errors

# File systems on which a rename can replace a file in one step.
_RENAME_OVER = frozenset({"hdfs", "viewfs"})


class HadoopFiles:
    """Files on any file system that this Spark session knows; the protocol is ``stores.file_system.Files``."""

    def __init__(self, spark: SparkSession) -> None:
        """Raises RuntimeSetupError for a client of Spark Connect: only Spark's process can reach the file systems."""
        if is_remote():
            raise RuntimeSetupError(
                "this operation reads or changes files beside the tables, which only Spark's own process can do, and "
                "this session is a client of Spark Connect; run it as a job with spark-submit, or in a session of this "
                "process"
            )
        self._jvm: Any = spark._jvm
        self._hadoop: Any = spark._jsc.hadoopConfiguration()

    def exists(self, path: str) -> bool:
        place, system = self._at(path)
        return bool(_result(lambda: system.exists(place)))

    def rename(self, source: str, target: str) -> None:
        old, system = self._at(source)
        new, _ = self._at(target)
        _result(lambda: system.mkdirs(new.getParent()))
        if not _result(lambda: not system.exists(new) and system.rename(old, new)):
            raise FileExistsError(f"cannot rename {source} to {target}: {target} already exists, or {source} does not")

    def delete(self, path: str) -> None:
        place, system = self._at(path)
        _result(lambda: system.delete(place, True))

    def write_text(self, path: str, text: str) -> None:
        place, system = self._at(path)

        def write() -> None:
            stream = system.create(place, False)
            stream.write(bytearray(text.encode("utf-8")))
            stream.close()

        _result(write)

    def files_in(self, folder: str) -> list[tuple[str, int]]:
        files = [entry for entry in self._entries(folder) if entry.isFile()]
        return sorted((str(file.getPath().getName()), int(file.getModificationTime())) for file in files)

    def folders_in(self, folder: str) -> list[str]:
        return sorted(str(entry.getPath().getName()) for entry in self._entries(folder) if entry.isDirectory())

    def _entries(self, folder: str) -> list[Any]:
        place, system = self._at(folder)
        if not _result(lambda: system.exists(place)):
            return []
        return list(_result(lambda: system.listStatus(place)))

    def read_text(self, path: str) -> str:
        place, system = self._at(path)

        def read() -> str:
            stream = system.open(place)
            try:
                return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
            finally:
                stream.close()

        return str(_result(read))

    def length(self, path: str) -> int:
        place, system = self._at(path)
        return int(_result(lambda: system.getFileStatus(place).getLen()))

    def read_end(self, path: str, number: int) -> bytes:
        place, system = self._at(path)

        def read() -> Any:
            stream = system.open(place)
            try:
                stream.seek(max(0, system.getFileStatus(place).getLen() - number))
                return self._jvm.org.apache.commons.io.IOUtils.toByteArray(stream)
            finally:
                stream.close()

        return bytes(_result(read))

    def read_start(self, path: str, number: int) -> bytes:
        place, system = self._at(path)

        def read() -> Any:
            codec = self._jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(self._hadoop).getCodec(place)
            stream = system.open(place)
            try:
                return (stream if codec is None else codec.createInputStream(stream)).readNBytes(number)
            finally:
                stream.close()

        return bytes(_result(read))

    def copy_with(self, source: str, target: str, offset: int, inserted: bytes) -> None:
        place, system = self._at(source)
        new, _ = self._at(target)
        copy = self._jvm.org.apache.commons.io.IOUtils.copyLarge

        def write() -> None:
            reader, writer = system.open(place), system.create(new, False)
            try:
                copy(reader, writer, 0, offset)
                writer.write(bytearray(inserted))
                copy(reader, writer)
            finally:
                reader.close()
                writer.close()

        _result(write)

    def replace(self, source: str, target: str) -> None:
        new, system = self._at(source)
        old, _ = self._at(target)

        def replace() -> None:
            modified = system.getFileStatus(old).getModificationTime()
            scheme = str(system.getUri().getScheme())
            if scheme == "file":
                self._replace_local(new, old)
            elif scheme in _RENAME_OVER:
                options = self._jvm.java.lang.reflect.Array.newInstance(self._rename.getClass(), 1)
                options[0] = self._rename
                self._jvm.org.apache.hadoop.fs.FileContext.getFileContext(system.getUri(), self._hadoop).rename(
                    new, old, options
                )
            else:
                # An object store replaces an object once the whole copy has arrived.
                self._jvm.org.apache.hadoop.fs.FileUtil.copy(system, new, system, old, True, True, self._hadoop)
                return
            system.setTimes(old, modified, -1)

        _result(replace)

    @property
    def _rename(self) -> Any:
        return self._jvm.org.apache.hadoop.fs.Options.Rename.OVERWRITE

    def _replace_local(self, new: Any, old: Any) -> None:
        """Replace without Hadoop's checksum files, so that no reader sees the new file with the old file's checksum."""
        raw = self._jvm.org.apache.hadoop.fs.FileSystem.getLocal(self._hadoop).getRawFileSystem()
        local = self._jvm.org.apache.hadoop.fs.FileSystem.getLocal(self._hadoop)
        for checksum in (local.getChecksumFile(old), local.getChecksumFile(new)):
            raw.delete(checksum, False)
        if not raw.rename(new, old):
            raise OSError(f"{new} cannot replace {old}")

    def _at(self, path: str) -> tuple[Any, Any]:
        full = path if "://" in path else f"file://{Path(path).absolute()}"
        place = _result(lambda: self._jvm.org.apache.hadoop.fs.Path(full))
        return place, _result(lambda: place.getFileSystem(self._hadoop))


def _result(call: Callable[[], Any]) -> Any:
    """The result of a call to Java; raises Java's errors of input and output as OSError."""
    try:
        return call()
    except py4j_errors.Py4JJavaError as error:
        raise OSError(str(error.java_exception)) from error
    except spark_errors.IllegalArgumentException as error:
        # For example, a path with an impossible port.
        raise OSError(str(error).partition("\n")[0]) from error
