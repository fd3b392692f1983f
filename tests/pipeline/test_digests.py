"""Digests that are kept: files are read once, and again when they are others."""

from __future__ import annotations

import hashlib
import os

from pipeline.storage import digests
from pipeline.storage.digests import Digests


def test_a_file_is_read_once_and_again_when_it_is_another(tmp_path, monkeypatch):
    read = []
    real = digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda path: read.append(path.name) or real(path))
    (tmp_path / "work").mkdir()
    (tmp_path / "a").write_bytes(b"one")
    known = Digests(tmp_path)
    known.told("a", hashlib.sha256(b"one").hexdigest())
    assert known.of("a") == hashlib.sha256(b"one").hexdigest() and read == []
    known.save()
    assert Digests(tmp_path).of("a") == known.of("a") and read == []
    (tmp_path / "a").write_bytes(b"two")
    os.utime(tmp_path / "a", (1, 1))
    assert Digests(tmp_path).of("a") == hashlib.sha256(b"two").hexdigest() and read == ["a"]
    (tmp_path / "work" / digests.NAME).write_text('{"a": [1, 2]}')
    assert Digests(tmp_path).of("a") == hashlib.sha256(b"two").hexdigest()
    (tmp_path / "a").unlink()
    known.save()
    assert not (tmp_path / "work" / digests.NAME).exists()
