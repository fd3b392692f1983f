"""What the system says of a file, in words: no error number, the file named, a remedy."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

from manifests.paths import as_text, printable

SAYINGS = {
    errno.ENOENT: "is not there",
    errno.EISDIR: "is a folder, where a file is wanted",
    errno.ENOTDIR: "cannot be: a part of the path is a file, not a folder",
    errno.EEXIST: "cannot be made: a file of this name is in the way",
    errno.EACCES: "may not be read or written by this user; change its permissions",
    errno.EPERM: "may not be changed by this user",
    errno.EROFS: "is on a disk that can only be read; name another place",
    errno.ENOSPC: "could not be written: the disk is full; make room and try again",
    errno.EDQUOT: "could not be written: the quota is used up; make room and try again",
    errno.ELOOP: "is a link that leads back to itself",
    errno.ENAMETOOLONG: "has a name that is too long for this disk",
    errno.ENOTEMPTY: "is a folder that is not empty",
    errno.EIO: "cannot be read: the disk reports an error",
    errno.ENOEXEC: "is no program that this machine can run",
    errno.EMFILE: "cannot be opened: this process has too many files open (`ulimit -n`)",
    errno.ENOMEM: "needs more memory than there is",
}


def sentence(error: BaseException) -> str:
    """An exception as one sentence for a person. Those of the system name their files and lose
    their numbers; all others are taken at their word."""
    if not isinstance(error, OSError) or error.errno is None:
        return printable(str(error)) or type(error).__name__
    said = SAYINGS.get(error.errno, f"failed: {(error.strerror or 'no reason given').lower()}")
    names = [
        as_text(os.fsdecode(name)) if isinstance(name, (str, bytes)) else str(name)
        for name in (error.filename, error.filename2)
        if name is not None
    ]
    return f"{' -> '.join(names) or 'a file'} {said}"


def read_text(path: Path) -> str:
    """A file of UTF-8 text, with or without a byte order mark. Raises ValueError naming the file
    where it is no text or cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (byte {error.start}); save it as such") from None
    except OSError as error:
        raise ValueError(sentence(error)) from None


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ValueError naming the file."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} is no JSON of ours: it is nested too deep") from None
