"""The listening test: blinded, scored as the papers do (by keyboard: tests/pages)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluation.mos.answers import score_answers, t_interval
from evaluation.mos.page import make_test
from manifests.media.encode import encode_flac


@pytest.fixture
def listening_page(tmp_path):
    for system, pitch in (("Secret-A", 300), ("Secret-B", 500)):
        for sample in ("one", "two", "three"):
            folder = tmp_path / system
            folder.mkdir(exist_ok=True)
            tone = 8000 * np.sin(2 * np.pi * pitch * np.arange(3200) / 16000)
            (folder / f"{sample}.flac").write_bytes(encode_flac(tone.astype(np.int16)))
    page, key = tmp_path / "test.html", tmp_path / "key.json"
    made = make_test(
        page,
        key,
        {s: tmp_path / s for s in ("Secret-A", "Secret-B")},
        questions=("quality", "naturalness"),
        num_samples=2,
    )
    return page, key, made.num_stimuli


def test_the_page_is_whole_and_tells_nothing(listening_page):
    page, key, count = listening_page
    text, truth = page.read_text(), json.loads(key.read_text())
    assert count == 4 and len(truth["stimuli"]) == 4
    assert "Secret" not in text and "http" not in text
    for stimulus, source in truth["stimuli"].items():
        assert stimulus in text
        assert f'"{source["sample"]}"' not in text


def test_a_broken_file_leaves_its_sample_out_of_every_system(listening_page, tmp_path):
    (tmp_path / "Secret-B" / "two.flac").write_bytes(b"nothing")
    systems = {s: tmp_path / s for s in ("Secret-A", "Secret-B")}
    page, key = tmp_path / "second.html", tmp_path / "second.json"
    made = make_test(page, key, systems, num_samples=3)
    assert made.num_samples == 2 and made.num_stimuli == 4
    assert list(made.left_out) == ["two"]
    assert made.left_out["two"].startswith("Secret-B: ") and "two.flac" in made.left_out["two"]
    samples = [s["sample"] for s in json.loads(key.read_text())["stimuli"].values()]
    assert sorted(samples) == ["one", "one", "three", "three"]
    for seed in range(4):  # a broken one costs no place while others are left
        assert make_test(page, key, systems, num_samples=2, seed=seed).num_samples == 2
    for name in ("one", "three"):
        (tmp_path / "Secret-A" / f"{name}.flac").write_bytes(b"nothing")
    page.unlink()
    with pytest.raises(ValueError, match=r"no sample can be read .*one.*two|two.*one"):
        make_test(page, key, systems, num_samples=3)
    assert not page.exists()


def answers(key, rater, value_of, path):
    truth = json.loads(key.read_text())
    path.write_text(
        json.dumps(
            {
                "format": 1,
                "test": truth["test"],
                "rater": rater,
                "answers": {
                    stimulus: {
                        "heard": 1,
                        "ratings": {q: value_of(source["system"], q) for q in truth["questions"]},
                    }
                    for stimulus, source in truth["stimuli"].items()
                },
            }
        )
    )
    return path


def test_means_and_t_intervals(listening_page, tmp_path):
    _, key, _ = listening_page
    files = [
        answers(
            key,
            f"r{i}",
            lambda system, _, i=i: 5 - i if system == "Secret-A" else 2,
            tmp_path / f"{i}.json",
        )
        for i in range(3)
    ]
    opinions, missing = score_answers(key, files)
    assert missing == 0
    first = opinions[0]
    assert (first.system, first.question, first.mean, first.n) == ("Secret-A", "quality", 4, 6)
    assert (first.num_raters, first.num_samples) == (3, 2)
    # 5 5 4 4 3 3: deviation sqrt(0.8), Student's 97.5 % point for 5 degrees is 2.571 (tables).
    assert first.plus_minus == pytest.approx(2.571 * np.sqrt(0.8 / 6), rel=1e-3)
    assert opinions[1].mean == 2 and opinions[1].plus_minus == 0


def test_t_interval_of_a_printed_row():
    """Niu and Mak print 4.975 +- 0.028 for real voice from 120 ratings of 1 to 5: three of them
    were 4 and the others 5."""
    ratings = np.array([4.0] * 3 + [5.0] * 117)
    assert ratings.mean() == pytest.approx(4.975)
    assert round(t_interval(ratings), 3) == 0.028
    assert t_interval(ratings[:1]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"test": "other"},
        {"rater": ""},
        {"answers": []},
        {"answers": {"x": {"ratings": {}}}},
        {"format": 2},
    ],
)
def test_wrong_files_are_refused(listening_page, tmp_path, change):
    _, key, _ = listening_page
    path = answers(key, "r", lambda *_: 3, tmp_path / "a.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"a\.json"):
        score_answers(key, [path])


@pytest.mark.parametrize("value", [0, 6, 3.0, True, "5"])
def test_ratings_outside_the_scale_are_refused(listening_page, tmp_path, value):
    _, key, _ = listening_page
    with pytest.raises(ValueError, match="not 1 to 5"):
        score_answers(key, [answers(key, "r", lambda *_: value, tmp_path / "a.json")])


def test_a_rater_counts_once(listening_page, tmp_path):
    _, key, _ = listening_page
    files = [answers(key, "r", lambda *_: 3, tmp_path / f"{i}.json") for i in range(2)]
    with pytest.raises(ValueError, match="twice"):
        score_answers(key, files)
