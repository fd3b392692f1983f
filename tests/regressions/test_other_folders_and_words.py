"""A folder of another's with our folder's name is no corpus; OpenCV's FFmpeg says nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from manifests.corpus import Corpus
from pipeline.cli import main


@pytest.mark.parametrize("name", ["deployment.yaml", "videos/part-000000.parquet"])
def test_a_folder_of_another_program_is_no_corpus(tmp_path, name):
    path = tmp_path / "manifests" / name
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"path": ["a"]}), path)
    (tmp_path / "dataset.json").write_text("{}")
    for command in (["status"], ["status", "--why"], ["verify"], ["report"]):
        result = CliRunner().invoke(main, [*command, str(tmp_path)])
        assert result.exit_code == 2 and "holds no corpus" in result.output, command


def test_a_copy_of_one_table_reads(tmp_path):
    path = tmp_path / "manifests" / "videos" / "part-000000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"video_id": ["v"]}), path)
    assert Corpus(tmp_path).rows("videos") == [{"video_id": "v"}]


@pytest.mark.parametrize("debug", [False, True])
def test_opencv_says_nothing_of_a_damaged_file(tmp_path, debug):
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(400))
    code = (
        "import sys, cv2\nfrom click.testing import CliRunner\nfrom pipeline.cli import main\n"
        "CliRunner().invoke(main, ['models'])\ncv2.VideoCapture(sys.argv[1])"
    )
    ours = ("YLD_DEBUG", "OPENCV_FFMPEG_LOGLEVEL", "OPENCV_LOG_LEVEL")
    env = {k: v for k, v in os.environ.items() if k not in ours}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bad.mp4")],
        env=env | ({"YLD_DEBUG": "1"} if debug else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and bool(done.stderr) == debug, done.stderr
