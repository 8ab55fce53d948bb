"""Files beside the tables on an object store, through Arrow, without Spark."""

from __future__ import annotations

from pyarrow import fs

from featurestore.stores.file_system import first_bytes
from featurestore.stores.objects import remove
from featurestore.stores.places import Folder, library_uri

_COPIED_AT_ONCE = 1 << 20


class ObjectFiles:
    """Objects of a store; the protocol is ``stores.file_system.Files``.

    A store has no folders and renames nothing: a folder is there as long as an object is in it, and renaming it copies
    its objects one by one. Those at its top whose names begin with ``_``, which say that it is whole, come last; so a
    reader who waits for them never sees a part.
    """

    def exists(self, path: str) -> bool:
        return bool(_facts(path).type != fs.FileType.NotFound)

    def rename(self, source: str, target: str) -> None:
        if self.exists(target) or not self.exists(source):
            raise FileExistsError(f"cannot rename {source} to {target}: {target} already exists, or {source} does not")
        old, new = _at(source), _at(target)
        if _facts(source).is_file:
            old.files.copy_file(old.path, new.path)
        else:
            paths = [each.path.removeprefix(f"{old.path}/") for each in old.listed(recursive=True) if each.is_file]
            for path in sorted(paths, key=lambda path: (path.startswith("_"), path)):
                old.files.copy_file(old.file(path), new.file(path))
        self.delete(source)

    def delete(self, path: str) -> None:
        place = _at(path)
        assert place.store is not None
        below = [each.path for each in place.listed(recursive=True) if each.is_file]
        doomed = below or ([place.path] if _facts(path).is_file else [])
        remove(place.store, [each.partition("/")[2] for each in doomed])

    def write_text(self, path: str, text: str) -> None:
        place = _at(path)
        with place.files.open_output_stream(place.path) as opened:
            opened.write(text.encode())

    def files_in(self, folder: str) -> list[tuple[str, int]]:
        return sorted((each.base_name, each.mtime_ns // 1_000_000) for each in _at(folder).listed() if each.is_file)

    def folders_in(self, folder: str) -> list[str]:
        return sorted(each.base_name for each in _at(folder).listed() if not each.is_file)

    def read_text(self, path: str) -> str:
        place = _at(path)
        with place.files.open_input_stream(place.path) as opened:
            return str(opened.read().decode("utf-8", errors="replace"))

    def length(self, path: str) -> int:
        facts = _facts(path)
        if not facts.is_file:
            raise FileNotFoundError(f"{path} is not there")
        return int(facts.size)

    def read_end(self, path: str, number: int) -> bytes:
        place, length = _at(path), self.length(path)
        with place.files.open_input_file(place.path) as opened:
            opened.seek(max(0, length - number))
            return bytes(opened.read())

    def read_start(self, path: str, number: int) -> bytes:
        place = _at(path)
        with place.files.open_input_stream(place.path, compression=None) as opened:
            return first_bytes(opened, path, number)

    def copy_with(self, source: str, target: str, offset: int, inserted: bytes) -> None:
        old, new = _at(source), _at(target)
        with old.files.open_input_stream(old.path) as reader, new.files.open_output_stream(new.path) as writer:
            left = offset
            while left and (block := reader.read(min(left, _COPIED_AT_ONCE))):
                writer.write(block)
                left -= len(block)
            writer.write(inserted)
            while block := reader.read(_COPIED_AT_ONCE):
                writer.write(block)

    def replace(self, source: str, target: str) -> None:
        old, new = _at(source), _at(target)
        old.files.copy_file(old.path, new.path)
        self.delete(source)


def _at(path: str) -> Folder:
    return Folder.of(library_uri(path))


def _facts(path: str) -> fs.FileInfo:
    place = _at(path)
    [found] = place.files.get_file_info([place.path])
    return found
