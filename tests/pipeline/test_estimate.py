"""`yld estimate`: what videos took is read right, and carried to other hours and heights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.commands import estimate as estimate_command
from pipeline.estimate.forecast import Prices, cost_at, forecast, pixels_per_s, spread
from pipeline.estimate.measured import VideoCost, video_costs

PRICES = Prices(core_hour=0.1, gb_month=0.02)


def video(height: int, cpu_s_per_s: float, video_s: float = 10.0) -> VideoCost:
    return VideoCost(
        video_s, height, pixels_per_s(height), cpu_s_per_s * video_s, 10_000_000, 2_000_000, 10**6
    )


def write_ledger(corpus: Path, num_videos: int = 3) -> None:
    """Videos of 10 s at 640 x 360 and 25 fps that took 1, 2, 3 ... CPU-s in `shots`."""
    for i in range(num_videos):
        unit = f"f{i:020d}"
        fact = {
            "video_id": unit,
            "duration_us": 10_000_000,
            "width_px": 640,
            "height_px": 360,
            "source_fps": "25",
            "frame_rate": "25",
        }
        source = {"video_id": unit, "num_bytes": 5_000_000}
        for stage, name, record, cpu_s in (
            ("download", f"v{i}", source, 0.5),
            ("probe", unit, fact, 0.0),
            ("shots", unit, {}, 1.0 + i),
        ):
            place = corpus / "work/ledger" / stage / name
            place.mkdir(parents=True)
            entry = {
                "stage": stage,
                "unit": name,
                "cpu_s": cpu_s,
                "results": [{"records": [record]}],
            }
            (place / "k.json").write_text(json.dumps(entry))
        (corpus / "work/clips").mkdir(exist_ok=True)
        (corpus / "work/clips" / f"{unit}-s000-t000-c000-00.tar").write_bytes(b"x" * 1000)


def test_what_videos_took_is_read_from_the_ledger_and_the_files(tmp_path):
    write_ledger(tmp_path)
    videos = video_costs(tmp_path)
    assert [v.cpu_s_per_video_s for v in videos] == pytest.approx([0.1, 0.2, 0.3])
    assert {v.source_bytes for v in videos} == {5_000_000}
    assert {v.clip_bytes for v in videos} == {1000}
    assert videos[0].pixels_per_s == 640 * 360 * 25


def test_a_unit_that_was_worked_again_counts_as_it_was_last(tmp_path):
    import os

    write_ledger(tmp_path, 1)
    place = next((tmp_path / "work/ledger/shots").glob("*"))
    old = place / "a.json"
    old.write_text(json.dumps({"stage": "shots", "unit": place.name, "cpu_s": 99, "results": []}))
    os.utime(old, (1, 1))
    assert video_costs(tmp_path)[0].cpu_s == pytest.approx(1.0)


def test_pixels_and_what_does_not_grow_with_them_are_told_apart():
    notes: list[str] = []
    per_hd = pixels_per_s(720)
    videos = [video(h, 0.1 + 0.2 * pixels_per_s(h) / per_hd) for h in (240, 360, 480, 1080) * 3]
    assert cost_at(videos, 720, notes).middle == pytest.approx(0.3, rel=1e-6)
    assert notes == []
    assert cost_at(videos, 2160, notes).middle == pytest.approx(0.1 + 0.2 * 9, rel=1e-6)
    assert "straight line" in notes[0]


def test_one_size_is_not_carried_to_another_without_a_word():
    notes: list[str] = []
    assert cost_at([video(288, 0.4)] * 20, 720, notes).middle == pytest.approx(0.4)
    assert "288" in notes[0]


def test_spread_is_of_durations_and_never_narrower_than_its_mean():
    value = spread([1.0, 2.0, 3.0], [1.0, 1.0, 8.0])
    assert value.middle == pytest.approx(2.7) and value.low <= 2.7 <= value.high
    one = spread([5.0], [1.0])
    assert one.low == one.middle == one.high == 5.0


def test_hours_disk_and_money_follow():
    made = forecast([video(720, 0.5)] * 3, 100, 720, PRICES, is_download=True)
    assert made.core_hours.middle == pytest.approx(50)
    assert made.wall_hours(10).middle == pytest.approx(5)
    assert made.disk_gb["work"].middle == pytest.approx(360)
    assert made.disk_gb["sources"].middle == pytest.approx(72)
    assert made.compute_price.middle == pytest.approx(5)
    assert made.storage_price_month.middle == pytest.approx((360 + 36 + 72) * 0.02)


def test_the_command_by_a_corpus(tmp_path):
    write_ledger(tmp_path)
    words = ["estimate", "--hours", "1000", "--videos", "86400", "--height", "360", "--cores", "10"]
    words += ["--from", str(tmp_path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "on 10 cores, all busy" in result.output and "2.5 days or more" in result.output
    assert max(map(len, result.output.splitlines()[2:])) <= 80
    facts = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert facts["core_hours"]["middle"] == pytest.approx(200)


@pytest.mark.parametrize("words", [["estimate"], ["estimate", "x.mp4", "--hours", "2"]])
def test_sources_or_hours(words):
    assert CliRunner().invoke(main, words).exit_code == 2


def test_a_corpus_without_its_work_is_told(tmp_path):
    result = CliRunner().invoke(main, ["estimate", "--hours", "1", "--from", str(tmp_path)])
    assert result.exit_code == 2 and "work/ledger" in result.stderr


@pytest.mark.parametrize(
    "rows, expected",
    [
        ([(360, 100.0), (720, 10.0), (None, None)], 360),
        ([(360, 4.0), (720, 10.0), (1080, 4.0)], 720),
        ([(None, 60.0)], None),
    ],
)
def test_the_pictures_height_is_that_of_the_files(rows, expected):
    told = [{"height_px": height, "duration_s": length} for height, length in rows]
    assert estimate_command._height_px(told) == expected
