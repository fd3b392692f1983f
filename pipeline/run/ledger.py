"""What is already done: every finished unit in one embedded database, `work/ledger/entries.db`.

SQLite in WAL mode (docs/decisions/0008): `put` returns once the operating system has the entry, so
that a killed process loses nothing it was told is kept; the disk has it some seconds later, and a
power cut costs the outcomes of these seconds, never the file. Only the driver opens it, under the
lock of `work`.

Corpora of releases before it have a JSON file a stage and unit. These are read where the database
has nothing, copied into it when used, and left as they are. Other machines go on from batches of
lines at the files' address: an object store takes many entries at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.files import write_atomic
from pipeline.run.entry import (
    Entry,
    Result,
    check_outcomes,
    decode,
    decoded,
    digest,
    encoded,
    failed_retryable,
)
from pipeline.storage.work_files import WorkFiles

__all__ = ["Entry", "Result", "check_outcomes", "decode", "digest", "failed_retryable"]
NAME, BATCHES = "entries.db", "batches"
OWN_FILES = (NAME, f"{NAME}-wal", f"{NAME}-shm")
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stage TEXT, unit TEXT, key TEXT, is_sent INTEGER,
    content BLOB,
    UNIQUE (stage, unit, key));
CREATE INDEX IF NOT EXISTS unsent ON entries (id) WHERE is_sent = 0;
CREATE TABLE IF NOT EXISTS batches (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS ledger (name TEXT);
INSERT INTO ledger SELECT lower(hex(randomblob(8))) WHERE NOT EXISTS (SELECT 1 FROM ledger);
"""
KEY_CHARS = 24
"""Of a key, in the name of a JSON file of earlier releases."""
TO_DISK_S = 5.0
BATCH_ENTRIES, BATCH_S = 256, 10.0
"""What is sent at a time, and how long it waits at most for company."""


class LedgerError(ValueError):
    """The ledger's file cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Row:
    """An entry as it lies there: `text` is its JSON, `name` the file it stands in where it is one
    of earlier releases (relative to the ledger's folder)."""

    stage: str
    unit: str
    text: str
    name: str | None = None


class Ledger:
    """Finished units under `folder`. Nothing is made there before the first `put`."""

    def __init__(self, folder: Path, files: WorkFiles | None = None) -> None:
        self.folder, self._files = folder, files
        self._has_json = any(p.is_dir() and p.name != BATCHES for p in _listed(folder))
        self._is_mirrored = files is not None and files.address is not None
        self._kept_at = self._sent_at = time.monotonic()
        self._num_unsent, self._begun_to = 0, 0
        self._in_flight: list[tuple[Future[None], int, int]] = []
        self._open_database: sqlite3.Connection | None = None
        if (folder / NAME).exists() or (folder / BATCHES).is_dir():
            self._take_in_batches()

    def get(self, stage: str, unit: str, key: str) -> Entry | None:
        """The finished unit, or None. What cannot be read counts as not done."""
        number = self.find(stage, unit, key)
        return None if number is None else self.read(number)

    def find(self, stage: str, unit: str, key: str) -> int | None:
        """The number that `read` takes; None where the unit is not finished."""
        number = self._number(stage, unit, key)
        return number if number is not None else self._copied(stage, unit, key)

    def read(self, number: int) -> Entry | None:
        """The entry of a number; None where it is damaged."""
        found = self._database.execute(
            "SELECT content FROM entries WHERE id = ?", (number,)
        ).fetchone()
        try:
            return None if found is None else decoded(_mapping(zlib.decompress(found[0])))
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, entry: Entry, kind: type) -> int:
        """Keep a finished unit whose outputs are records of `kind`; its number for `read`."""
        number = self._insert(vars(entry), encoded(entry, kind), is_sent=not self._is_mirrored)
        now = time.monotonic()
        if now - self._kept_at > TO_DISK_S:
            self._kept_at = now
            self._database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if self._is_mirrored:
            self._num_unsent += 1
            if self._num_unsent >= BATCH_ENTRIES or now - self._sent_at > BATCH_S:
                self.send()
        return number

    def send(self) -> None:
        """Begin to send what is not at the files' address yet; `WorkFiles.flush` waits for it and
        tells what went wrong. What was not told to have arrived is sent again by the next run."""
        if self._files is None or not self._is_mirrored or not (self.folder / NAME).exists():
            return
        self._note_arrived()
        while rows := self._database.execute(
            "SELECT id, content FROM entries WHERE is_sent = 0 AND id > ? ORDER BY id LIMIT ?",
            (self._begun_to, BATCH_ENTRIES),
        ).fetchall():
            content = b"".join(zlib.decompress(packed) + b"\n" for _, packed in rows)
            name = f"{BATCHES}/{hashlib.sha256(content).hexdigest()[:32]}.jsonl.z"
            sent = self._files.send_later(f"ledger/{name}", zlib.compress(content, 6))
            self._in_flight.append((sent, rows[0][0], rows[-1][0]))
            self._begun_to = rows[-1][0]
        self._num_unsent, self._sent_at = 0, time.monotonic()

    def settle(self) -> None:
        """All that was begun to be sent has arrived or failed: what arrived is not sent again."""
        self._note_arrived()

    def _note_arrived(self) -> None:
        still = []
        for sent, first, last in self._in_flight:
            if sent.done() and sent.exception() is None:
                self._database.execute(
                    "UPDATE entries SET is_sent = 1 WHERE is_sent = 0 AND id BETWEEN ? AND ?",
                    (first, last),
                )
            else:
                still.append((sent, first, last))
        self._in_flight = still

    def rows(self, stage: str | None = None) -> Iterator[Row]:
        """All entries, or those of a stage, those of earlier releases' files first; the newest of a
        unit last."""
        for path in sorted(self._json_files(stage), key=lambda p: (p.stat().st_mtime, p.name)):
            name = path.relative_to(self.folder)
            with contextlib.suppress(OSError, ValueError):
                yield Row(name.parts[0], name.parts[1], path.read_text("utf-8"), name.as_posix())
        if not (self.folder / NAME).exists():
            return
        where, values = ("WHERE stage = ?", (stage,)) if stage is not None else ("", ())
        for of_stage, unit, content in self._database.execute(
            f"SELECT stage, unit, content FROM entries {where} ORDER BY id", values
        ):
            with contextlib.suppress(zlib.error, ValueError):
                yield Row(of_stage, unit, zlib.decompress(content).decode())

    def newest(self) -> Iterator[Row]:
        """The last entry of every stage and unit: an earlier one had other settings."""
        files: dict[tuple[str, str], Path] = {}
        for path in sorted(self._json_files(None), key=lambda p: (p.stat().st_mtime, p.name)):
            files[path.parts[-3], path.parts[-2]] = path
        if (self.folder / NAME).exists():
            for stage, unit, content in self._database.execute(
                "SELECT stage, unit, content FROM entries WHERE id IN "
                "(SELECT max(id) FROM entries GROUP BY stage, unit) ORDER BY id"
            ):
                files.pop((stage, unit), None)
                yield Row(stage, unit, zlib.decompress(content).decode())
        for (stage, unit), path in files.items():
            yield Row(stage, unit, path.read_text(encoding="utf-8"))

    def forget(self, stage: str, is_lost: Callable[[dict[str, Any]], bool]) -> None:
        """Have the units of `stage` done again of whose entry's mapping `is_lost` holds."""
        for row in list(self.rows(stage)):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                data = _mapping(row.text)
                if not is_lost(data):
                    continue
                if row.name is not None:
                    (self.folder / row.name).unlink()
                elif (number := self._number(stage, row.unit, data["key"])) is not None:
                    self._database.execute("DELETE FROM entries WHERE id = ?", (number,))

    def adopt(self, text: str) -> None:
        """Keep an entry of another ledger, if there is none of its stage, unit and key. Raises
        ValueError and KeyError for what is none."""
        data = _mapping(text)
        if self._number(data["stage"], data["unit"], data["key"]) is None:
            self._insert(data, text, is_sent=not self._is_mirrored)

    def rewrite(self, edit: Callable[[Row], str | None]) -> int:
        """Have the text that `edit` gives in the place of every entry's own, and no entry where it
        gives None; how many changed. Nothing of the old text stays in the ledger's files, nor in
        batches that were brought: all entries are sent again.
        """
        changed = 0
        for path in list(self._json_files(None)):
            name, facts = path.relative_to(self.folder), path.stat()
            text = path.read_text(encoding="utf-8")
            now = edit(Row(name.parts[0], name.parts[1], text, name.as_posix()))
            changed += now != text
            if now is None:
                path.unlink()
                with contextlib.suppress(OSError):
                    path.parent.rmdir()
            elif now != text:
                write_atomic(path, now)
                os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # the newest counts
        if (self.folder / NAME).exists():
            changed += self._rewrite_database(edit)
        for path in (self.folder / BATCHES).glob("*.jsonl.z"):
            path.unlink()
        with contextlib.suppress(OSError):
            (self.folder / BATCHES).rmdir()
        return changed

    def _rewrite_database(self, edit: Callable[[Row], str | None]) -> int:
        base, changed = self._database, 0
        base.execute("PRAGMA secure_delete = ON")
        base.execute("BEGIN")
        for (number,) in base.execute("SELECT id FROM entries ORDER BY id").fetchall():
            stage, unit, content = base.execute(
                "SELECT stage, unit, content FROM entries WHERE id = ?", (number,)
            ).fetchone()
            try:
                text = zlib.decompress(content).decode()
            except (zlib.error, ValueError):
                text = ""  # damaged: it counts as not done, and nobody knows whose it was
            now = edit(Row(stage, unit, text)) if text else None
            changed += now != text
            if now is None:
                base.execute("DELETE FROM entries WHERE id = ?", (number,))
            elif now != text:
                packed = zlib.compress(now.encode("utf-8", "backslashreplace"), 1)
                base.execute("UPDATE entries SET content = ? WHERE id = ?", (packed, number))
        if self._is_mirrored:
            base.execute("UPDATE entries SET is_sent = 0")
        base.execute("DELETE FROM batches")
        base.execute("COMMIT")
        # What was deleted stands in free pages and in the journal until both are written anew.
        base.execute("VACUUM")
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return changed

    @property
    def name(self) -> str:
        """A word of its own, which tells whose the numbers are."""
        return str(self._database.execute("SELECT name FROM ledger").fetchone()[0])

    def own_files(self) -> list[str]:
        """Names below its folder of what it wrote or had brought, files of earlier releases left
        out."""
        batches = (f"{BATCHES}/{p.name}" for p in _listed(self.folder / BATCHES))
        return [*OWN_FILES, *(n for n in batches if n.endswith(".jsonl.z"))]

    def close(self) -> None:
        """Give the file free; it opens again when it is needed."""
        if self._open_database is not None:
            self._open_database.close()
            self._open_database = None

    # -- the database ------------------------------------------------------------------------

    @property
    def _database(self) -> sqlite3.Connection:
        if self._open_database is None:
            self._open_database = _connected(self.folder / NAME)
        return self._open_database

    def _number(self, stage: str, unit: str, key: str) -> int | None:
        if self._open_database is None and not (self.folder / NAME).exists():
            return None
        found = self._database.execute(
            "SELECT id FROM entries WHERE stage = ? AND unit = ? AND key = ?", (stage, unit, key)
        ).fetchone()
        return None if found is None else int(found[0])

    def _insert(self, data: Mapping[str, Any], text: str, *, is_sent: bool) -> int:
        content = zlib.compress(text.encode("utf-8", "backslashreplace"), 1)
        which = (str(data["stage"]), str(data["unit"]), str(data["key"]))
        made = self._database.execute(
            # A unit that was done anew has a new number: what was made of it is known by that.
            "INSERT OR REPLACE INTO entries (stage, unit, key, is_sent, content) "
            "VALUES (?, ?, ?, ?, ?)",
            (*which, is_sent, content),
        )
        return int(made.lastrowid or 0)

    # -- what earlier releases and other machines left ------------------------------------------

    def _json_files(self, stage: str | None) -> Iterator[Path]:
        if self._has_json:
            yield from self.folder.glob(f"{stage or '*'}/*/*.json")

    def _copied(self, stage: str, unit: str, key: str) -> int | None:
        """The number of an entry in a file of an earlier release, from now on in the database."""
        if not self._has_json:
            return None
        path = self.folder / stage / unit / f"{key[:KEY_CHARS]}.json"
        try:
            text = path.read_text(encoding="utf-8")
            data = _mapping(text)
            if data.get("key") != key:
                return None
            decoded(dict(data))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        # It was sent as a file.
        return self._insert({"stage": stage, "unit": unit, "key": key}, text, is_sent=True)

    def _take_in_batches(self) -> None:
        """Entries of other machines that were brought as batches, each file once."""
        known = {name for (name,) in self._database.execute("SELECT name FROM batches")}
        for path in sorted((self.folder / BATCHES).glob("*.jsonl.z")):
            if path.name in known:
                continue
            with contextlib.suppress(OSError, zlib.error, ValueError, KeyError):
                lines = zlib.decompress(path.read_bytes()).decode().splitlines()
                self._database.execute("BEGIN")
                for line in lines:
                    data = _mapping(line)
                    if self._number(data["stage"], data["unit"], data["key"]) is None:
                        self._insert(data, line, is_sent=True)
                self._database.execute("INSERT OR IGNORE INTO batches VALUES (?)", (path.name,))
                self._database.execute("COMMIT")
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")


def _connected(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_closed = path.exists() and not path.with_name(f"{path.name}-wal").exists()
    # A folder that nobody may write in is read as it lies, if its last run ended by itself.
    can_be_written = os.access(path.parent, os.W_OK) or not is_closed
    try:
        base = sqlite3.connect(
            path.resolve().as_uri() + ("" if can_be_written else "?immutable=1"),
            timeout=60,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        if can_be_written:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")
            base.executescript(SCHEMA)
    except sqlite3.Error as error:
        raise LedgerError(
            f"{path} cannot be used ({error}); put it back from a copy, or move it away: what it "
            "told finished is then done again"
        ) from None
    return base


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _mapping(text: str | bytes) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("no entry")
    return data
