"""What to do about faults that a file system reports: a full disk, a refused write."""

from __future__ import annotations

# The file system's message -> what to do. Hadoop and delta-rs raise one class for all; only the text tells them apart.
FILE_SYSTEM_FAULTS = {
    "No space left on device": "the disk is full; make room",
    "Disk quota exceeded": "the quota of the disk is used up; make room",
    "File too large": "the file system takes no file so large, or a limit of this process is reached; raise it",
    "Read-only file system": "the file system is read-only; mount it for writing, or name another warehouse",
    "Permission denied": "this user may not write there; grant it, or name another warehouse",
    "Operation not permitted": "the file system forbids it; allow it, or name another warehouse",
    "Mkdirs failed to create": "a folder cannot be made there; see that it may be written to",
}
_OBJECT_STORE = (
    "the store refused or did not answer; see that this process, and Spark's executors, reach it and have credentials "
    "that may read it, or set as_of_host to 'by_shuffle', so that Spark reads it"
)
# What Arrow and delta-rs say of any fault of an object store.
_OBJECT_STORE_FAULTS = (
    "AWS Error",
    "Generic S3 error",
    "Generic GCS error",
    "Generic MicrosoftAzure error",
    "Generic HdfsObjectStore error",
)


def advice_of(text: str) -> str | None:
    """What to do about the fault that an error's text names; None if it names none."""
    if any(known in text for known in _OBJECT_STORE_FAULTS):
        return _OBJECT_STORE
    for known, advice in FILE_SYSTEM_FAULTS.items():
        if known in text:
            return f"{advice}. No part of the operation is visible; run it again after that"
    return None
