"""What a dry run says of links whose facts cannot be had."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from yt_dlp.utils import DownloadError

from pipeline.build.dry_run import describe
from pipeline.config.build_config import BuildConfig
from stages.sources.download import errors, site

LINKS = [f"https://example.org/{name}.mp4" for name in "abc"]


def offline(address: str, *args: object) -> list[dict[str, object]]:
    if address == LINKS[2]:
        return [{"address": address, "duration_s": 600.0}]
    try:
        raise socket.gaierror(-2, "Name or service not known")
    except OSError as error:
        raise DownloadError("ERROR: [generic] a: Unable to download webpage") from error


def test_each_source_says_why_and_nothing_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "list_videos", offline)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    text = describe(LINKS[:2], tmp_path / "out", BuildConfig(), None)
    assert text.count("Name or service not known") == 2
    assert "unknown for 2" in text
    for what in ("download", "disk", "time"):
        assert f"expected {what}: not known" in text
    assert all(len(line) <= 60 for line in text.splitlines() if str(tmp_path) not in line)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    text = describe(LINKS, tmp_path / "out", BuildConfig(), None)
    assert "expected download: 210 MB" in text and text.count("for 1 of 3 sources") == 3


def test_a_cause_is_told_in_its_own_words() -> None:
    for message, words in (
        ("ERROR: [youtube] abc: Video unavailable (caused by <X>)", "Video unavailable"),
        ("", "DownloadError"),
    ):
        assert errors.cause_of(DownloadError(message)) == words
