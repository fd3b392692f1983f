"""What folders and lists hold: links entered once, nothing passed over unsaid, ` #` in names."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from evaluation.pairing import media_files
from manifests import walk
from pipeline.storage.own_folder import MARK
from stages.sources import layouts
from stages.sources.arguments import BadSourceError, requests_from_arguments

MP4 = b"\0\0\0\x18ftypisom" + bytes(100)


def put(folder: Path, *names: str, content: bytes = MP4) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names_of(folder: Path) -> list[str]:
    return [Path(r.address).name for r in requests_from_arguments([str(folder)])]


@pytest.fixture
def tree(tmp_path):
    """A folder with links to itself, up, outside, to one another and to nowhere."""
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    put(tree, "a/1.mp4", "b/2.mp4")
    put(outside, "3.mp4", "deep/4.mp4")
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "a" / "up").symlink_to(tmp_path)
    (tree / "a" / "self").symlink_to("self")
    (tree / "linked").symlink_to(outside)
    (tree / "linked-again").symlink_to(outside / "deep" / "..")
    (outside / "deep" / "back").symlink_to(outside)
    (tree / "b" / "brother").symlink_to(tree / "a")
    (tree / "b" / "nowhere").symlink_to(tmp_path / "gone")
    (tree / "z.mp4").symlink_to(outside / "deep" / "4.mp4")
    return tree


def test_links_are_entered_once_and_loops_told(tree, capsys):
    assert sorted(names_of(tree)) == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]
    told = capsys.readouterr().err
    for name, word in (
        ("a/loop", "leads back to"),
        ("a/up", "leads back to"),
        ("a/self", "leads nowhere"),
        ("b/nowhere", "leads nowhere"),
        ("linked-again", "read already"),
        ("b/brother", "read already"),
        ("deep/back", "leads back to"),
    ):
        assert any(name in line and word in line for line in told.splitlines()), name


def test_all_that_walk_folders_walk_alike(tree):
    _, items = layouts.find(tree)
    assert {Path(i.path).name for i in items} == set(names_of(tree))
    assert {Path(p).name for p in media_files(tree / "linked").values()} == {"3.mp4", "4.mp4"}


def test_a_source_may_itself_be_a_link(tree, tmp_path):
    (tmp_path / "way").symlink_to(tree)
    assert sorted(names_of(tmp_path / "way")) == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]


SUFFIXES = (".dv", ".mpe", ".qt", ".ogm", ".divx", ".insv", ".MP4", ".m2t", ".3g2", ".rmvb", ".mod")


def test_suffixes_of_video_are_known_widely(tmp_path, capsys):
    put(tmp_path, *(f"x{i}{s}" for i, s in enumerate(SUFFIXES)), content=b"whatever")
    assert len(names_of(tmp_path)) == len(layouts.find(tmp_path)[1]) == len(SUFFIXES)
    assert len(media_files(tmp_path)) == len(SUFFIXES) and capsys.readouterr().err == ""


HEADS = {
    "mp4": MP4,
    "mov": b"\0\0\0\x08wide\0\0\0\0mdat",
    "mkv": b"\x1aE\xdf\xa3" + bytes(60),
    "avi": b"RIFF\0\0\0\0AVI LIST",
    "asf": b"0&\xb2u\x8ef\xcf\x11\xa6\xd9",
    "flv": b"FLV\x01\x05",
    "ps": b"\0\0\1\xba\x44" + bytes(40),
    "ts": (b"\x47" + bytes(187)) * 6,
    "m2ts": (b"\0\0\0\0\x47" + bytes(187)) * 6,
    "ogv": b"OggS" + bytes(24) + b"\x80theora",
}
NOT_VIDEO = {
    "m4a": b"\0\0\0\x18ftypM4A ",
    "heic": b"\0\0\0\x18ftypheic",
    "wav": b"RIFF\0\0\0\0WAVEfmt ",
    "ogg": b"OggS" + bytes(24) + b"\x01vorbis",
    "text": b"hello",
    "empty": b"",
    "zip": b"PK\3\4" + bytes(50),
}


def test_names_without_a_known_suffix_are_looked_into(tmp_path, capsys):
    for name, head in (HEADS | NOT_VIDEO).items():
        put(tmp_path, f"{name}.zzz", f"{name}_bare", content=head)
    assert {n.rpartition("_")[0] or n.rpartition(".")[0] for n in names_of(tmp_path)} == set(HEADS)
    told = capsys.readouterr().err
    assert f"taken as media by content, whatever the name says ({2 * len(HEADS)})" in told
    assert f"passed over as no media, by suffix and content ({2 * len(NOT_VIDEO)})" in told


def test_what_is_passed_over_is_counted_and_named(tmp_path, capsys):
    put(tmp_path, "talk.mp4", ".hidden.mp4", "._talk.mp4", ".git/x.mp4")
    put(tmp_path, *(f"{i}.txt" for i in range(7)), "a.jpg", "voice.wav", content=b"x")
    assert names_of(tmp_path) == ["talk.mp4"]
    told = capsys.readouterr().err
    assert "(12): 7 .txt (0.txt, 1.txt, 2.txt, 3.txt, 4.txt, and 2 more), 3 hidden (" in told
    assert "1 .jpg (a.jpg)" in told and "1 .wav (voice.wav)" in told
    assert set(media_files(tmp_path)) == {"talk", "voice"}, "sound counts where sound is scored"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_told(tmp_path):
    put(tmp_path, "a/1.mp4", "b/2.mp4")
    (tmp_path / "a").chmod(0)
    try:
        found = walk.find_media(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o755)
    assert [p.name for p in found.files] == ["2.mp4"] and "cannot be read" in found.notes[0]


def test_a_pipe_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(BadSourceError, match="is neither"):
        requests_from_arguments([str(tmp_path / "pipe.mp4")])
    with pytest.raises(BadSourceError, match="holds no media"):
        requests_from_arguments([str(tmp_path)])


def test_pipes_and_sockets_in_a_folder_are_counted_and_named(tmp_path, monkeypatch):
    put(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "way.mp4").symlink_to("pipe.mp4")
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("talk")
        found = walk.find_media(tmp_path)
    assert [p.name for p in found.files] == ["a.mp4"]
    assert found.notes == [
        "passed over as neither file nor folder (3): 2 pipes, 1 socket (pipe.mp4, talk, way.mp4)"
    ]


def test_equal_names_are_told_once(tmp_path):
    put(tmp_path, "a.mp4", *(f"{i}/.DS_Store" for i in range(9)), ".a", content=b"x")
    [line] = walk.find_media(tmp_path).lines()
    assert line.endswith("(10): 10 hidden (.a, .DS_Store, 9 times)")


def test_folders_that_yld_made_are_no_sources(tmp_path, capsys):
    assert walk.OWN_MARK == MARK
    put(tmp_path, "a.mp4", "out/clips/b.mp4", "out/in/c.mp4", "d/e.mp4", "d/audit/f.mp4")
    for folder in ("out", "out/in", "d/audit"):
        put(tmp_path, f"{folder}/{MARK}", content=b"{}")
    assert names_of(tmp_path) == ["a.mp4", "e.mp4"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and all("is a folder that yld made" in line for line in told)
    assert str(tmp_path / "d/audit") in told[0] and "its 4 files" in told[1]
    assert names_of(tmp_path / "out") == ["b.mp4"], "but the one that is named is"
    assert names_of(tmp_path / "out" / "in") == ["c.mp4"]


@pytest.mark.parametrize("scheme", ["ftp", "S3", "rtmp", "git+ssh"])
def test_other_schemes_are_told_with_those_that_are_taken(tmp_path, scheme):
    (tmp_path / "list.txt").write_text(f"{scheme}://x.org/a.mp4 # a\ngone.mp4\nfile:///a.mp4\n")
    with pytest.raises(BadSourceError) as caught:
        requests_from_arguments([str(tmp_path / "list.txt")])
    text = str(caught.value)
    assert f"line 1: '{scheme}://x.org/a.mp4' is a link of the scheme {scheme.lower()}" in text
    assert "http and https are taken" in text and "3 lines" in text
    assert "line 2" in text and "give the path alone" in text
    with pytest.raises(BadSourceError, match="http and https are taken"):
        requests_from_arguments([f"{scheme}://x.org/a.mp4"])


@pytest.mark.parametrize(
    "line, meant",
    [
        ("Show #1.mp4", "Show #1.mp4"),
        ("  Show #1.mp4  ", "Show #1.mp4"),
        ("Show #1.mp4 # the first", "Show #1.mp4"),
        ("Show #1.mp4\t# a # b", "Show #1.mp4"),
        ('"Show #1.mp4" # quoted', "Show #1.mp4"),
        ("'Show #1.mp4'", "Show #1.mp4"),
        ("Show", "Show"),
        ("Show # 1.mp4 not", "Show"),
        ("#2 plain.mp4", "#2 plain.mp4"),
        ("a  #  b #c.mp4 # d", "a  #  b #c.mp4"),
        (" blank .mp4 ", " blank .mp4 "),
        ("\u2028sep.mp4", "\u2028sep.mp4"),
        ("form\x0cfeed.mp4", "form\x0cfeed.mp4"),
        ("https://example.org/v?x=1#t=10", None),
        ("https://example.org/v?x=1#t=10 # talk", None),
        ("\thttps://example.org/v?x=1#t=10\t#1", None),
        ('"https://example.org/v?x=1#t=10"', None),
    ],
)
@pytest.mark.parametrize(
    "end, mark", [("\n", b""), ("\r\n", b"\xef\xbb\xbf"), ("\r", b""), ("\n", b"\xff\xfe")]
)
def test_lines_of_a_list(tmp_path, line, meant, end, mark):
    put(
        tmp_path,
        "Show #1.mp4",
        "Show",
        "#2 plain.mp4",
        "a  #  b #c.mp4",
        " blank .mp4 ",
        "\u2028sep.mp4",
        "form\x0cfeed.mp4",
    )
    text = end.join(["# a comment", "", line, "   ", "#Show not"]) + end
    code = "utf-16-le" if mark == b"\xff\xfe" else "utf-8"
    (tmp_path / "list.txt").write_bytes(mark + text.encode(code))
    [found] = requests_from_arguments([str(tmp_path / "list.txt")])
    assert found.line == 3
    if meant is None:
        assert (found.kind, found.address) == ("link", "https://example.org/v?x=1#t=10")
    else:
        from manifests.paths import as_path

        assert as_path(found.address) == tmp_path / meant


def test_lines_that_mean_nothing_are_all_told(tmp_path):
    (tmp_path / "list.txt").write_bytes(
        b"gone #1.mp4\n" + b"x" * 5000 + b"\nhttp://[::1\ngon\xe9.mp4\nhttps://x.org/a\tb\n"
    )
    with pytest.raises(BadSourceError) as caught:
        requests_from_arguments([str(tmp_path / "list.txt")])
    text = str(caught.value)
    assert "5 lines" in text and r"gon\xe9.mp4" in text and "line 5" in text and "a tab" in text
    (tmp_path / "list.txt").write_bytes(b"\0\1\2")
    with pytest.raises(BadSourceError, match="not a text file"):
        requests_from_arguments([str(tmp_path / "list.txt")])
