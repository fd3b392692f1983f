"""`yld build NAME:PLACE` from an owner's layout to sealed shards, for each corpus whose media can
stand in for the real ones: a talking clip of the reference data, laid out as the owner does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from manifests.corpus import Corpus, shards_of
from manifests.sample_json import known
from manifests.shards import read_samples
from pipeline.cli import main
from pipeline.demo.server import serve

SHARED = Path(os.environ.get("YLD_SHARED", "/nowhere"))
MAY, GRID_CLIP = "wild/Real3DPortrait__May_5s.mp4", "grid_s1/bbaf2n.mpg"
IDS = ("dQw4w9WgXcQ", "-abcdefghi_")
PLAIN = ("-c:v", "libx264", "-crf", "18", "-c:a", "aac", "-ar", "44100")
HERE = (
    *("--set", "workers.cpu_workers=1", "--set", "download.allow_hosts=127.0.0.1"),
    *("--set", "download.sleep_min_s=0", "--set", "download.sleep_max_s=0"),
    *("--set", "download.min_free_gb=0.01"),
)
pytestmark = pytest.mark.slow


def clip(path: Path, source: str = MAY, *how: str) -> Path:
    """A few seconds of a talking face, written as the owners write theirs."""
    import imageio_ffmpeg

    if not (SHARED / "data" / source).is_file():
        pytest.skip(f"{source} is not here (YLD_SHARED)")
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    command += ["-i", str(SHARED / "data" / source), *(how or PLAIN), str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def face_px(side: int, seconds: float) -> tuple[str, ...]:
    return "-t", f"{seconds}", "-vf", f"scale={side}:{side}", "-r", "25", *PLAIN


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def grid(root: Path) -> str:
    target = root / "s1" / "bbaf2n.mpg"
    target.parent.mkdir()
    target.write_bytes((SHARED / "data" / GRID_CLIP).read_bytes())
    words = "0 9250 sil\n9250 14500 bin\n14500 21000 blue\n21000 24250 at\n24250 31000 f\n"
    text(
        root / "align/s1/bbaf2n.align",
        f"{words}31000 40000 two\n40000 50000 now\n50000 74500 sil\n",
    )
    return f"grid:{root}"


def tcd_timit(root: Path) -> str:
    clip(root / "volunteers/28M/Clips/straightcam/sa1.mp4", MAY, "-t", "3", *PLAIN)
    text(root / "volunteers/28M/Clips/straightcam/sa1.txt", "0 48000 She had your dark suit\n")
    return f"tcd_timit:{root}"


def lrw(root: Path) -> str:
    clip(root / "lipread_mp4/ABOUT/test/ABOUT_00001.mp4", MAY, *face_px(256, 1.16))
    text(root / "lipread_mp4/ABOUT/test/ABOUT_00001.txt", "Duration: 0.32 seconds\n")
    return f"lrw:{root / 'lipread_mp4'}"


LRS_TEXT = """Text:  HELLO THERE
Conf:  5

WORD START END ASDSCORE
HELLO 0.20 0.60 9.0
THERE 0.70 1.10 9.0
"""


def lrs2(root: Path) -> str:
    place = root / "mvlrs_v1"
    clip(place / "main/5535415699068794046/00001.mp4", MAY, *face_px(160, 2))
    text(place / "main/5535415699068794046/00001.txt", LRS_TEXT)
    text(root / "test.txt", "5535415699068794046/00001 NF\n")
    return f"lrs2:{place}"


def lrs3(root: Path) -> str:
    clip(root / "test/0Fi83BHQsMA/00002.mp4", MAY, *face_px(224, 2))
    text(root / "test/0Fi83BHQsMA/00002.txt", LRS_TEXT)
    return f"lrs3:{root}"


def lip2wav(root: Path) -> str:
    for part in ("train", "val", "test"):
        text(root / f"Dataset/chem/{part}.txt", IDS[0] + "\n" if part == "val" else "")
    clip(root / f"Dataset/chem/videos/{IDS[0]}.mp4")
    return f"lip2wav:{root / 'Dataset/chem'}"


def voxceleb(root: Path) -> str:
    clip(root / f"mp4/id00017/{IDS[0]}/00001.mp4", MAY, *face_px(224, 4))
    return f"voxceleb:{root}"


def avspeech(root: Path) -> str:
    clip(root / f"{IDS[1]}.mp4")
    text(root / "avspeech_test.csv", f"{IDS[1]},0.8,4.2,0.5,0.45\n")
    return f"avspeech:{root / 'avspeech_test.csv'}"


def vggsound(root: Path) -> str:
    clip(root / f"{IDS[0]}_000030.mp4")
    text(root / "vggsound.csv", f'{IDS[0]},30,"female speech, woman speaking",test\n')
    return f"vggsound:{root / 'vggsound.csv'}"


def crema_d(root: Path) -> str:
    flash = ("-t", "3", "-vf", "scale=480:360", "-c:v", "flv", "-ar", "44100", "-c:a", "mp3")
    clip(root / "VideoFlash/1001_DFA_ANG_XX.flv", MAY, *flash)
    return f"crema_d:{root}"


def ravdess(root: Path) -> str:
    clip(root / "Actor_01/01-01-03-01-01-01-01.mp4", MAY, "-t", "3", *PLAIN)
    return f"ravdess:{root}"


def webdataset(root: Path) -> str:
    video = clip(root / "made.mp4", MAY, *face_px(384, 3)).read_bytes()
    (root / "made.mp4").unlink()
    facts = json.dumps({"speaker": "May", "text": "good evening"}).encode()
    with tarfile.open(root / "val-000000.tar", "w") as tar:
        for name, content in (("000001.mp4", video), ("000001.json", facts)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return f"webdataset:{root}"


def folder(root: Path) -> str:
    clip(root / "may/talk.mp4", MAY, "-t", "3", *PLAIN)
    return f"folder:{root}"


EXPECTED = {
    "grid": ("grid-s1", None, "bin blue at f two now"),
    "tcd_timit": ("tcd-timit-28M", "test", "She had your dark suit"),
    "lrw": (None, "test", "ABOUT"),
    "lrs2": (None, "test", "HELLO THERE"),
    "lrs3": ("lrs3-0Fi83BHQsMA", "test", "HELLO THERE"),
    "lip2wav": ("lip2wav-chem", "val", None),
    "voxceleb": ("voxceleb-id00017", "test", None),
    "avspeech": (None, "test", None),
    "vggsound": (None, "test", None),
    "crema_d": ("crema-d-1001", None, "Don't forget a jacket"),
    "ravdess": ("ravdess-01", None, "Kids are talking by the door"),
    "webdataset": ("webdataset-May", "val", "good evening"),
    "folder": ("folder-may", None, None),
}
"""Speaker, part and text of every clip; a speaker of None is told by the face."""


def built(source: str, out: Path, *words: str) -> list[dict]:
    """The samples' `json` of a corpus that was built, and that verifies."""
    told = CliRunner().invoke(main, ["build", source, "--out", str(out), *HERE, *words])
    assert told.exit_code == 0, told.output
    assert CliRunner().invoke(main, ["verify", str(out)]).exit_code == 0
    return [known(s.facts) for shard in shards_of(out) for s in read_samples(shard)]


@pytest.mark.parametrize("name", EXPECTED)
def test_from_the_owners_layout_to_sealed_shards(tmp_path, name):
    if not SHARED.is_dir():
        pytest.skip("the reference clips are not here (YLD_SHARED)")
    root = tmp_path / "owners"
    root.mkdir()
    source = globals()[name](root)
    samples = built(source, tmp_path / "c", "--set", "clips.mode=whole")
    speaker, part, said = EXPECTED[name]
    assert samples
    for facts in samples:
        assert facts["speaker_id"] == speaker or (
            speaker is None and facts["speaker_id"].startswith("spk-")
        )
        assert facts["split"] == (part or facts["split"])
        assert said is None or facts["text"] == said
    hints = Corpus(tmp_path / "c").rows("hints")
    assert {h["corpus"] for h in hints} <= {name}


def test_talkvid_cuts_the_span_that_its_list_names(tmp_path):
    clip(tmp_path / "site" / "may.mp4")
    with serve(tmp_path / "site") as address:
        entry = {"id": "may-1", "start-time": 1.0, "end-time": 3.0, "height": 512}
        entry |= {"bbox": [100, 50, 420, 430]}
        entry["info"] = {"Person ID": "7", "Video Link": f"{address}/may.mp4"}
        text(tmp_path / "list.json", json.dumps([entry]))
        samples = built(
            f"talkvid:{tmp_path / 'list.json'}", tmp_path / "c", "--set", "clips.mode=whole"
        )
    assert [(s["start_frame"], s["end_frame"]) for s in samples] == [(25, 75)]
    assert samples[0]["speaker_id"] == "talkvid-7"
