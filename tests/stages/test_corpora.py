"""Each corpus in small, laid out as its owners describe it (the adapters' heads cite them): which
sources, speakers, parts, texts, spans and faces come out, and what is said of what does not fit."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from manifests.ids import GRAMMAR
from pipeline.cli import main
from stages.sources.arguments import BadSourceError, given
from stages.sources.corpora import catalogue, lip2wav, voxceleb
from stages.sources.corpora.grid import WORDS, sentence_of
from stages.sources.corpora.rows import CorpusError, id_of_link
from stages.sources.layouts import find as find_layout
from stages.sources.layouts import requests_of

IDS = ("dQw4w9WgXcQ", "-abcdefghi_", "a_b-c_d-e_f")


def media(root: Path, *names: str) -> None:
    """One small file, hard-linked: adapters look at names."""
    first = root / names[0]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path == first:
            path.write_bytes(b"\0\0\0\x18ftypisom")
        else:
            os.link(first, path)


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def read(argument: object) -> tuple[list, list[str]]:
    findings = catalogue.find(str(argument))
    return findings.rows, findings.notes


def align(words: str) -> str:
    parts = ["sil", *words.split(), "sil"]
    return "".join(f"{9000 * i} {9000 * (i + 1)} {w}\n" for i, w in enumerate(parts))


@pytest.fixture
def grid(tmp_path) -> Path:
    for speaker, names in {
        "s1": ("bbaf2n", "lgwm6n", "pwbk3a"),
        "s5": ("bbaf2n", "srwi5a", "sgbg1s"),
        "s6": ("lbaq8p", "pgwr4z".replace("z", "s"), "bwiz9p"),
    }.items():
        media(tmp_path, *(f"{speaker}/{n}.mpg" for n in names))
        # The archive has the alignments of s5 in the folder s6, and the other way round.
        folder = {"s1": "s1", "s5": "s6", "s6": "s5"}[speaker]
        for name in names:
            text(tmp_path / "alignments" / folder / f"{name}.align", align(sentence_of(name) or ""))
    # A sentence that another talker said too.
    text(tmp_path / "alignments" / "s5" / "bbaf2n.align", align("set red in z nine soon"))
    return tmp_path


def test_grid_finds_the_alignments_of_a_talker_in_whichever_folder_they_are(grid):
    rows, notes = read(f"grid:{grid}")
    by = {row.name: row for row in rows}
    assert len(rows) == 9 and {row.speaker for row in rows} == {"s1", "s5", "s6"}
    for name, row in by.items():
        assert row.text == sentence_of(name.split("/")[1])
    own = {"s1": "s1", "s5": "s6", "s6": "s5"}
    assert {Path(r.transcript_path).parent.name for r in rows if r.speaker == "s5"} == {"s6"}
    assert all(Path(r.transcript_path).parent.name == own[r.speaker] for r in rows)
    assert any("s5: s6, s6: s5" in note for note in notes)
    assert any("s21 was published without" in note and "3 of the 33" in note for note in notes)


def test_a_plain_folder_that_looks_like_a_corpus_is_told_and_taken_as_named(grid, capfd):
    assert len(given([str(grid)]).requests) == 9 and not given([str(grid / "s5")]).hints
    told = capfd.readouterr().err
    assert f"grid:{grid} would also bring its speakers, texts, parts" in told
    assert f"grid:{grid / 's5'} would" in told
    given([f"grid:{grid}"])
    (grid / "s1" / "bbaf2n.mpg").rename(grid / "holiday.mpg")
    given([str(grid / "holiday.mpg")])
    assert "looks like" not in capfd.readouterr().err


def test_grid_does_not_use_alignments_that_say_other_words(grid):
    for path in (grid / "alignments" / "s1").glob("*.align"):
        path.write_text(align("set red in z nine soon"))
    rows, notes = read(f"grid:{grid}")
    assert {row.transcript_path for row in rows if row.speaker == "s1"} == {None}
    assert {row.text for row in rows if row.speaker == "s1"} >= {"bin blue at f two now"}
    assert any("say other words" in note for note in notes)


def test_grid_has_51_words():
    assert len({word for table in WORDS for word in table.values()}) == 51
    assert sentence_of("bbaw2n") is None  # its letters lack W


def test_both_cameras_of_a_sentence_are_in_one_part(tmp_path):
    names = [f"sx{n}" for n in range(40)]
    for speaker in ("volunteers/01M", "volunteers/08F", "lipspeakers/Lipspkr1"):
        for camera in ("straightcam", "30degcam"):
            media(tmp_path, *(f"{speaker}/Clips/{camera}/{n}.mp4" for n in names))
    text(
        tmp_path / "volunteers/01M/Clips/straightcam/sx3.txt", "0 46797 Don't ask me to carry it.\n"
    )
    rows, notes = read(f"tcd-timit:{tmp_path}")
    assert len(rows) == 240
    parts: dict[tuple, set] = {}
    for row in rows:
        parts.setdefault((row.speaker, row.name.split("/")[2]), set()).add(row.split)
    assert all(len(found) == 1 for found in parts.values())
    of_lips = [next(iter(p)) for (speaker, _), p in parts.items() if speaker == "Lipspkr1"]
    assert [of_lips.count(p) for p in ("train", "val", "test")] == [36, 2, 2]
    assert {row.split for row in rows if row.speaker == "08F"} == {"test"}
    assert {row.split for row in rows if row.speaker == "01M"} == {"train"}
    assert [r.text for r in rows if r.text] == ["Don't ask me to carry it."]
    assert any("239 of 240" in note for note in notes)


def test_lrw_has_the_word_and_its_time(tmp_path):
    media(tmp_path, "ABOUT/train/ABOUT_00001.mp4", "ABOUT/test/ABOUT_00002.mp4")
    text(
        tmp_path / "ABOUT/train/ABOUT_00001.txt",
        "Disk reference: 6210770\nChannel: BBC\nDuration: 0.36 seconds\n",
    )
    rows, notes = read(f"lrw:{tmp_path}")
    assert [(r.text, r.split, r.text_start_s, r.text_end_s) for r in rows] == [
        ("ABOUT", "test", None, None),
        ("ABOUT", "train", 0.4, 0.76),
    ]
    assert any("1 of 2 clips have no .txt" in note for note in notes)


def test_lrs_parts_come_from_lists_or_folders(tmp_path):
    two, three = tmp_path / "mvlrs_v1", tmp_path / "lrs3"
    media(
        two,
        "main/5535415699068794046/00001.mp4",
        "main/5535415699068794046/00002.mp4",
        "main/6330311066473698535/00011.mp4",
        "pretrain/5535415699068794046/00003.mp4",
    )
    text(two / "train.txt", "5535415699068794046/00001\n")
    text(two / "test.txt", "6330311066473698535/00011 NF\n")
    rows, notes = read(f"lrs2:{two}")
    assert {r.name.split("/", 1)[1][-5:]: r.split for r in rows} == {
        "00001": "train",
        "00002": None,
        "00011": "test",
        "00003": "train",
    }
    assert any("in none of train.txt" in note for note in notes)
    media(three, "pretrain/0Fi83BHQsMA/00002.mp4", "test/0Fi83BHQsMA/00001.mp4")
    rows, _ = read(f"lrs3:{three}")
    assert [(r.speaker, r.split) for r in rows] == [
        ("0Fi83BHQsMA", "train"),
        ("0Fi83BHQsMA", "test"),
    ]


def test_lip2wav_by_name_is_the_official_list_in_pieces_of_30_s():
    rows, _ = read("lip2wav:chem")
    assert [sum(r.split == p for r in rows) for p in ("train", "val", "test")] == [313, 17, 16]
    assert {(r.kind, r.speaker, r.every_s) for r in rows} == {("link", "chem", 30.0)}
    assert len(read("lip2wav:all")[0]) == 767 == sum(map(len, lip2wav.official().values()))
    with pytest.raises(CorpusError, match="neither a speaker"):
        read("lip2wav:chemistry")


def test_lip2wav_in_a_folder_takes_videos_before_copied_pieces(tmp_path):
    root = tmp_path / "Dataset" / "chem"
    media(root, f"videos/{IDS[0]}.mp4", f"intervals/{IDS[1]}/cut-0.mp4")
    os.link(root / f"videos/{IDS[0]}.mp4", tmp_path / "other.mp4")
    text(root / "train.txt", "\n".join(IDS))
    rows, notes = read(f"lip2wav:{tmp_path / 'Dataset'}")
    assert [(r.kind, r.every_s) for r in rows] == [("file", 30.0), ("file", None), ("link", 30.0)]
    assert rows[2].address.endswith(f"watch?v={IDS[2]}")
    assert any("cut by copying" in note for note in notes)


TRACK = """Identity  : \tid00012
Reference : \t21Uxsk56VDQ
Offset    : \t-2
FV Conf   : \t16.747\t(1)
ASD Conf  : \t4.502

FRAME \tX \tY \tW \tH
"""


def test_voxceleb_tracks_are_spans_with_boxes(tmp_path):
    lines = [f"{250 + i:06d} \t0.100 \t{0.2 + i / 1000:.3f} \t0.300 \t0.400 \n" for i in range(51)]
    text(tmp_path / "dev/txt/id00012/21Uxsk56VDQ/00001.txt", TRACK + "".join(lines))
    pixels = "".join(f"{i:06d} \t223 \t80 \t130 \t130 \n" for i in range(50))
    text(tmp_path / "vox1/txt/id10270/5r0dWxy17C8/00001.txt", TRACK + pixels)
    text(tmp_path / "vox1/txt/id10271/5r0dWxy17C8/00001.txt", "no track")
    media(tmp_path, "mp4/id00017/01dfn2spqyE/00001.mp4")
    rows, notes = read(f"voxceleb:{tmp_path}")
    two, cut, one = rows
    assert two.address.endswith("21Uxsk56VDQ") and (two.start_s, two.end_s) == (10.0, 12.04)
    assert two.box_times_s == (10.0, 11.0, 12.0) and two.box_height_px is None
    assert two.boxes[:4] == pytest.approx((0.1, 0.2, 0.4, 0.6)) and two.split == "train"
    assert cut.kind == "file" and cut.split == "test" and cut.speaker == "id00017"
    assert one.boxes[:4] == (223, 80, 353, 210) and one.box_height_px == 360
    assert one.start_s == 0.0 and one.split == "test"
    assert len(voxceleb.TEST_OF_2) == 118 and 17 in voxceleb.TEST_OF_2
    assert any("1 track files cannot be read" in n for n in notes)


def test_avspeech_segments_of_one_video_are_one_request(tmp_path):
    listing = text(
        tmp_path / "avspeech_train.csv",
        f"{IDS[1]},90.0,93.5,0.5,0.25\n{IDS[0]},10,14,0.1,0.9\n"
        f"{IDS[1]},3.0,6.0,0.25,0.5\n{IDS[2]},1.500000,4.0,0.4,0.4\n",
    )
    media(tmp_path, f"{IDS[2]}_1.500000.mp4")
    found = given([f"avspeech:{listing}"])
    assert [r.address.rpartition("=")[2] for r in found.requests[:2]] == [IDS[1], IDS[0]]
    assert found.requests[2].kind == "file"
    of_first = [h for h in found.hints if h.request_id == found.requests[0].request_id]
    assert [(h.start_s, h.point_x, h.point_y) for h in of_first] == [
        (90.0, 0.5, 0.25),
        (3.0, 0.25, 0.5),
    ]
    assert found.hints[-1].start_s is None and found.hints[-1].point_x == 0.4  # cut already
    assert {h.split for h in found.hints} == {"train"}
    less = found.first(1)
    assert len(less.requests) == 1 and len(less.hints) == 2
    # An audit reads the same list by the same adapter, and fetches nothing.
    _, items = find_layout(listing)
    assert [bool(i.missing) for i in items] == [True, True, True, False]
    assert [h.point_x for h in requests_of(items)[1]] == [0.4]


@pytest.mark.parametrize(
    "line", [f"{IDS[0]},9,3,.5,.5", f"{IDS[0]},nan,3,.5,.5", "only", f'"{IDS[0]},1,3,.5,.5']
)
def test_bad_lines_of_a_list_are_told_and_left_out(tmp_path, line):
    good = f"{IDS[0]},1,3,.5,.5\n"
    listing = text(tmp_path / "list.csv", f"# a remark\n{good}{line}\n{IDS[1]},1,3,.5,.5\n")
    rows, notes = read(f"avspeech:{listing}")
    assert len(rows) == 2 and "1 of 3 lines" in notes[0] and "line 3: [" in notes[0]
    text(listing, good + f"{line}\n" * 5 + good.replace("1,3", "4,9") * 5)
    _, notes = read(f"avspeech:{listing}")
    assert "line 4: " in notes[0] and "line 5: " not in notes[0] and "and 2 more" in notes[0]
    for content in (good + f"{line}\n" * 2, f"id,start,end,x,y\n{line}\n", "id,start,end,x,y\n"):
        with pytest.raises(BadSourceError, match="id,start,end,x,y"):
            given([f"avspeech:{text(listing, content)}"])


def test_bad_lines_of_other_lists(tmp_path):
    row = f"{IDS[0]},5,male speech,test\n"
    rows, notes = read(f"vggsound:{text(tmp_path / 'v.csv', row + 'only,one' + chr(10))}")
    assert len(rows) == 1 and "line 2: ['only', 'one']" in notes[0]
    entry = {"id": "a", "start-time": 1, "end-time": 2, "url": "https://example.org/v.mp4"}
    path = text(tmp_path / "clips.jsonl", json.dumps(entry) + "\n{half\n")
    rows, notes = read(f"talkvid:{path}")
    assert len(rows) == 1 and "1 entries cannot be used" in notes[0]
    with pytest.raises(CorpusError, match="2 of 3 entries"):
        read(f"talkvid:{text(path, path.read_text() + '[]' + chr(10))}")


def test_downloads_lie_beside_a_list_and_not_below(tmp_path):
    listing = text(tmp_path / "test.csv", f"{IDS[0]},1,3,.5,.5\n{IDS[1]},1,3,.5,.5\n")
    media(tmp_path, f"{IDS[0]}.mp4", f"deep/{IDS[1]}.mp4")
    (tmp_path / "deep" / "again").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    rows, notes = read(f"avspeech:{listing}")
    assert [r.kind for r in rows] == ["file", "link"] and notes == []


def test_talkvid_and_lists_of_its_form(tmp_path):
    entry = {
        "id": "video-1",
        "height": 1080,
        "start-time": 0.1,
        "end-time": 5.14,
        "info": {"Person ID": "597", "Video Link": f"https://youtu.be/{IDS[0]}"},
    }
    boxed = entry | {"id": "video-2", "bbox": [100, 50, 500, 700], "start-time": 7, "end-time": 9}
    path = text(tmp_path / "clips.json", json.dumps([entry, boxed, {"id": "odd"}]))
    rows, notes = read(f"talkvid:{path}")
    assert [(r.speaker, r.start_s, r.box_height_px) for r in rows] == [
        ("597", 0.1, None),
        ("597", 7.0, 1080),
    ]
    assert len({r.address for r in rows}) == 1 and rows[1].boxes == (100, 50, 500, 700)
    assert any("1 entries cannot be used" in note for note in notes)
    with pytest.raises(CorpusError, match="no JSON"):
        read(f"talkvid:{text(tmp_path / 'x.json', '{')}")


def test_hdtf_lists(tmp_path):
    text(
        tmp_path / "RD_video_url.txt",
        f"\ufeffRadio11 https://www.youtube.com/watch?v={IDS[0]}&t=6s\nRadio2 https://x.org/\n",
    )
    text(tmp_path / "RD_annotion_time.txt", "Radio11.mp4 00:30-01:00 1:01:30-1:02:30\n")
    text(tmp_path / "RD_crop_wh.txt", "Radio11_0.mp4 412 599 0 599\n")
    text(tmp_path / "RD_resolution.txt", "Radio11.mp4 720\n")
    rows, notes = read(f"hdtf:{tmp_path}")
    assert [(r.name, r.speaker, r.start_s, r.end_s) for r in rows] == [
        ("Radio11_0", "Radio", 30.0, 60.0),
        ("Radio11_1", "Radio", 3690.0, 3750.0),
    ]
    assert rows[0].boxes == (412.0, 0.0, 1011.0, 599.0) and rows[0].box_height_px == 720
    assert rows[1].boxes == () and any("Radio2" in note for note in notes)


def test_acted_sentences_stand_in_the_names(tmp_path):
    media(tmp_path / "c", "VideoFlash/1001_DFA_ANG_XX.flv", "VideoFlash/1002_IEO_SAD_HI.flv")
    rows, _ = read(f"crema_d:{tmp_path / 'c'}")
    assert [(r.speaker, r.text) for r in rows] == [
        ("1001", "Don't forget a jacket"),
        ("1002", "It's eleven o'clock"),
    ]
    media(
        tmp_path / "r",
        "Actor_01/01-01-03-01-01-01-01.mp4",
        "Actor_01/02-01-03-01-01-01-01.mp4",
        "Actor_02/01-02-03-01-02-01-02.mp4",
    )
    rows, notes = read(f"ravdess:{tmp_path / 'r'}")
    assert [(r.speaker, r.text) for r in rows] == [
        ("01", "Kids are talking by the door"),
        ("02", "Dogs are sitting by the door"),
    ]
    assert any("1 files without sound" in n for n in notes) and any("sung" in n for n in notes)


def test_vggsound_lists(tmp_path):
    path = text(
        tmp_path / "vggsound.csv",
        f'{IDS[1]},30,"female speech, woman speaking",train\n{IDS[0]},5,male speech,test\n',
    )
    media(tmp_path, f"{IDS[0]}_000005.mp4")
    rows, _ = read(f"vggsound:{path}")
    assert [(r.kind, r.split, r.start_s, r.end_s) for r in rows] == [
        ("link", "train", 30.0, 40.0),
        ("file", "test", None, None),
    ]


def test_utkface_is_pictures_that_no_build_takes(tmp_path):
    media(tmp_path, "25_1_0_20170116171048641.jpg.chip.jpg", "61_1_20170109142408075.jpg.chip.jpg")
    rows, notes = read(f"utkface:{tmp_path}")
    assert [(r.kind, r.split) for r in rows] == [("image", "test")] and "race" in notes[0]
    with pytest.raises(BadSourceError, match="1 pictures and no video"):
        given([f"utkface:{tmp_path}"])


def test_shards_of_videos(tmp_path):
    tar = tmp_path / "val-000000.tar"
    for name, content in {
        "a/0001.mp4": "x",
        "a/0001.json": '{"speaker": "p1", "text": "hello there", "start_s": 1, "end_s": 3}',
        "a/0002.txt": "good night",
        "a/0002.mp4": "y",
        "a/0003.json": '{"split": "test"}',
    }.items():
        text(tmp_path / "in" / name, content)
        with tarfile.open(tar, "a") as archive:
            archive.add(tmp_path / "in" / name, name)
    rows, _ = read(f"webdataset:{tmp_path}")
    assert [(r.kind, r.speaker, r.text, r.split, r.start_s) for r in rows] == [
        ("member", "p1", "hello there", "val", 1),
        ("member", None, "good night", "val", None),
    ]
    assert rows[0].address == f"{tar}::a/0001.mp4"


def test_a_plain_folder_has_its_folders_as_speakers(tmp_path):
    media(tmp_path, "ann/1.mp4", "ben/1.mp4")
    rows, _ = read(f"folder:{tmp_path}")
    assert [(r.name, r.speaker) for r in rows] == [("ann/1", "ann"), ("ben/1", "ben")]


@pytest.mark.parametrize(
    "corpus",
    ["grid", "tcd_timit", "lrw", "lrs2", "lrs3", "voxceleb", "crema_d", "ravdess", "hdtf",
     "utkface", "lip2wav", "webdataset"],
)  # fmt: skip
def test_a_wrong_place_is_told_with_what_was_expected_and_found(tmp_path, corpus):
    media(tmp_path, "holiday/film.mp4")
    with pytest.raises(CorpusError, match=r"expected .*found"):
        catalogue.find(f"{corpus}:{tmp_path}")
    with pytest.raises(BadSourceError):
        given([f"{corpus}:"])


def test_a_folder_without_shards_has_no_shards(tmp_path):
    with pytest.raises(CorpusError, match="found no shards"):
        catalogue.find(f"webdataset:{tmp_path}")


def test_the_list_of_corpora_shows_what_each_needs():
    told = CliRunner().invoke(main, ["corpora"]).stdout
    assert all(corpus.needs in told for corpus in catalogue.CORPORA.values())


def test_odd_names_and_hostile_ids(tmp_path, monkeypatch):
    bad = text(tmp_path / "v.csv", "../../etc/pa,1,3,.5,.5\n$(rm -rf),1,3,.5,.5\n")
    rows, _ = read(f"avspeech:{bad}")
    assert all(row.missing for row in rows)
    with pytest.raises(BadSourceError, match="names nothing that is there"):
        given([f"avspeech:{bad}"])
    media(tmp_path, "grid:x/s1/bbaf2n.mpg")  # a folder that is called as a corpus is a folder
    monkeypatch.chdir(tmp_path)
    assert given(["grid:x"]).hints == []
    with pytest.raises(BadSourceError, match="yld corpora"):
        given(["gird:x"])


@pytest.mark.parametrize(
    "link, expected",
    [
        ("https://www.youtube.com/watch?v=-abcdefghi_", IDS[1]),
        ("https://m.youtube.com/watch?t=6s&v=-abcdefghi_&x=1", IDS[1]),
        ("https://youtu.be/-abcdefghi_?t=3", IDS[1]),
        ("https://example.org/watch?v=-abcdefghi_", None),
        ("https://www.youtube.com/watch?v=-abcdefghi_toolong", None),
    ],
)
def test_ids_in_links(link, expected):
    assert id_of_link(link) == expected


def test_the_catalogue_says_all_it_should():
    for name, corpus in catalogue.CORPORA.items():
        assert GRAMMAR.fullmatch(name) and corpus.name == name
        assert all((corpus.title, corpus.needs, corpus.licence, corpus.hours, corpus.wanted_by))


def test_the_page_has_the_table():
    page = Path(__file__).parents[2] / "docs" / "corpora.md"
    table = page.read_text().partition("<!-- corpora -->")[2].partition("<!-- end -->")[0]
    assert table.strip() == catalogue.markdown()
