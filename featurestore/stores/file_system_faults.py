"""What to do about faults that a file system reports: a full disk, a refused write."""

from __future__ import annotations

# The file system's message -> what to do. Hadoop and delta-rs raise one class for all; only the text tells them apart.
FILE_SYSTEM_FAULTS = {
    "No space left on device": "the disk is full; make room",
    "Disk quota exceeded": "the quota of the disk is used up; make room",
    "File too large": "the file system takes no file so large, or a limit of this process is reached; raise it",
    "Read-only file system": "the file system is read-only; mount it for writing, or name another warehouse",
    "Permission denied": "this user may not write there; grant it, or name another warehouse",
    "Operation not permitted": "the file system forbids it (an immutable file?); allow it, or name another warehouse",
    "Mkdirs failed to create": "a folder cannot be made there; see that it may be written to",
}


def advice_of(text: str) -> str | None:
    """What to do about the fault that an error's text names; None if it names none."""
    for known, advice in FILE_SYSTEM_FAULTS.items():
        if known in text:
            return f"{advice}. No part of the operation is visible; run it again after that"
    return None
