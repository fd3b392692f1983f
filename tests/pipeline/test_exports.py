"""Exports read as their trainers read them: names, rates, crops and lists, as those readers ask."""

from __future__ import annotations

import csv
import io
import json
import shutil
import wave
from pathlib import Path

import av
import cv2
import librosa
import numpy as np
import pytest
from click.testing import CliRunner

from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.sample_json import typed
from manifests.shards import SampleIndex, ShardSample, read_samples, write_samples
from manifests.text.alignments import is_lrs, parse_lrs
from pipeline.cli import main
from pipeline.export.clip import Clip, safe
from pipeline.export.form import Options
from pipeline.export.job import export
from pipeline.export.lip_reading import Lrs
from pipeline.export.lip_sync import LatentSync
from pipeline.export.others import spectrograms
from pipeline.storage import made
from tests.training.mouths import speaking

NUM_FRAMES = 100
HOSTILE = "../../v id"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Four clips: two of `train`, one of `val` of a video with a hostile id, one of `test` that is
    too short and has no text."""
    made = speaking(tmp_path_factory.mktemp("made"), num_clips=3, num_frames=NUM_FRAMES)
    short = speaking(tmp_path_factory.mktemp("short"), num_clips=1, num_frames=10, seed=1)
    samples = [*read_samples(made / "train/000000.tar"), *read_samples(short / "train/000000.tar")]
    root = tmp_path_factory.mktemp("corpus") / "corpus"
    for number, (split, sample) in enumerate(
        zip(("train", "train", "val", "test"), samples, strict=True)
    ):
        facts = sample.facts | {
            "split": split,
            "video_id": HOSTILE if split == "val" else f"v{number}",
            "text": None if split == "test" else "bin blue",
            "text_reason": "nobody knows" if split == "test" else None,
            "words": [
                {"word": "bin", "start_s": 0.4, "end_s": 0.8},
                {"word": "blue", "start_s": 1.0, "end_s": 1.5},
            ],
            "start_frame": 0,
            "end_frame": sample.facts["num_frames"],
        }
        members = {**sample.members, "json": json.dumps(typed(facts)).encode()}
        path = root / "shards" / split / f"{split}-{number:06d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            write_samples(file, [ShardSample(f"clip-{number}", members)])
        SampleIndex.scan(path).write()
    return root


def sample(corpus: Path, number: int) -> ShardSample:
    return next(
        s for p in corpus.rglob("*.tar") for s in read_samples(p) if s.key[-1] == f"{number}"
    )


def heard(path: Path) -> np.ndarray:
    """int16 of a WAV, as scipy and the standard library read it."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def by_opencv(path: Path) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(path)), []
    assert video.get(cv2.CAP_PROP_FPS) == 25
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_wav2lip_finds_its_windows(corpus, tmp_path):
    done = export(corpus, tmp_path / "out", "wav2lip")
    assert (done.clips, [k for k, _ in done.left_out]) == (3, ["clip-3"])
    out = tmp_path / "out"
    for split, count in (("train", 2), ("val", 1)):
        folders = [out / "data" / line for line in rows(out / f"filelists/{split}.txt")]
        assert len(folders) == count
        for folder in folders:
            numbers = sorted(int(p.name.split(".")[0]) for p in folder.glob("*.jpg"))
            assert numbers == list(range(NUM_FRAMES))
            assert len(heard(folder / "audio.wav")) == 640 * NUM_FRAMES
            picture = cv2.imread(str(folder / "0.jpg"))
            assert picture.shape[0] >= 96 and picture.shape[2] == 3
    assert np.array_equal(heard(out / "data/v0/clip-0/audio.wav"), sample(corpus, 0).sound)


def test_latentsync_reads_pictures_and_sound_of_one_file(corpus, tmp_path):
    export(corpus, tmp_path / "out", "latentsync")
    paths = [Path(p) for p in rows(tmp_path / "out/train_fileslist.txt")]
    assert len(paths) == 2 and all(p.is_absolute() for p in paths)
    frames = by_opencv(paths[0])
    assert len(frames) == NUM_FRAMES and frames[0].shape == (256, 256, 3)
    video = open_video(paths[0])
    assert (video.container_lag_ms, video.zero_us, video.audio_start_us) == (0.0, 0, 0)
    assert np.array_equal(read_audio(video, paths[0]), sample(corpus, 0).sound)
    with av.open(str(paths[0])) as container:  # without a look at any edit list
        first = next(container.decode(audio=0))
        assert first.pts == 0


def test_latentsync_finds_brows_and_nose_where_its_mask_expects_them(corpus, tmp_path):
    """Of its affine_transform.py: template points x 2.8 in 210 x 280, drawn into 256 x 256."""
    points = np.zeros((68, 2))  # of a face of GRID in the canonical picture
    points[17:22], points[22:27], points[27:36] = (89.5, 73.4), (165.7, 74.9), (129.6, 131.3)
    matrix = LatentSync.matrix(points)
    laid = (np.column_stack([points, np.ones(68)]) @ matrix.T)[[17, 22, 27]]
    wanted = np.array([[17, 20], [58, 20], [37.5, 40]]) * 2.8 * [256 / 210, 256 / 280]
    assert np.abs(laid.mean(0) - wanted.mean(0)).max() < 1e-3
    assert np.abs(laid - wanted).max() < 20 and abs(laid[0, 1] - laid[1, 1]) < 2
    # In a picture of 75 x 100 it is a turn and one scale: no face is stretched.
    square = matrix[:, :2] * [[75 / 256], [100 / 256]]
    assert np.allclose(square @ square.T, np.eye(2) * (square @ square.T)[0, 0])
    export(corpus, tmp_path / "out", "latentsync")
    frame = by_opencv(Path(rows(tmp_path / "out/train_fileslist.txt")[0]))[9][..., ::-1]
    face = sample(corpus, 0).faces()[9]
    matrix = LatentSync.matrix(np.median(sample(corpus, 0).landmarks, axis=0))
    by_hand = cv2.warpAffine(face, matrix, (256, 256), flags=1, borderValue=(127, 127, 127))
    assert np.abs(frame.astype(int) - by_hand).mean() < 4


def test_latentsync_s_own_reader_takes_it(corpus, tmp_path):
    """By decord, as its data sets do: `len`, `get_batch`, and mono sound at 16 kHz."""
    decord = pytest.importorskip("decord")
    export(corpus, tmp_path / "out", "latentsync")
    for path in rows(tmp_path / "out/train_fileslist.txt"):
        video = decord.VideoReader(path, ctx=decord.cpu(0))
        assert len(video) == NUM_FRAMES and video.get_avg_fps() == 25
        assert video.get_batch([0, 47]).asnumpy().shape == (2, 256, 256, 3)
        sound = decord.AudioReader(path, ctx=decord.cpu(0), sample_rate=16000)[:].asnumpy()
        exact = sample(corpus, int(Path(path).stem[-1])).sound / 32768
        assert sound.shape == (1, len(exact)) and np.abs(sound[0] - exact).max() < 1e-4


def test_synctalk_has_a_video_a_speaker(corpus, tmp_path):
    export(corpus, tmp_path / "out", "synctalk")
    videos = sorted((tmp_path / "out/data").glob("*/*.mp4"))
    assert [v.stem for v in videos] == [v.parent.name for v in videos] == ["spk-0", "spk-1"]
    frames = by_opencv(videos[0])
    assert frames[0].shape == (512, 512, 3) and len(frames) == NUM_FRAMES


def test_auto_avsr_reads_its_lists(corpus, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    model, units = tmp_path / "m.model", tmp_path / "units.txt"
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["BIN BLUE"] * 20), model_writer=content, vocab_size=12
    )
    model.write_bytes(content.getvalue())
    units.write_text("<unk> 1\n▁ 2\nB 3\nI 4\nN 5\nL 6\nU 7\nE 8\n▁B 9\n")
    out = tmp_path / "out"
    export(corpus, out, "auto-avsr", str(model), str(units))
    for line in rows(out / "labels/yld_train.csv"):
        dataset, path, length, tokens = line.split(",")
        assert int(length) == NUM_FRAMES == len(by_opencv(out / dataset / path))
        assert tokens and all(1 <= int(token) <= 9 for token in tokens.split())


def test_auto_avsr_without_a_tokenizer_has_texts(corpus, tmp_path):
    done = export(corpus, tmp_path / "out", "auto-avsr")
    assert done.left_out == [("clip-3", "no text: nobody knows")]
    read = list(csv.reader(rows(tmp_path / "out/labels/train_text.csv")))
    assert [r[1] for r in read] == ["BIN BLUE"] * 2
    path = tmp_path / "out/yld" / read[0][0]
    frames = by_opencv(path)
    assert len(frames) == NUM_FRAMES and frames[0].shape == (96, 96, 3)
    assert len(heard(Path(str(path)[:-4] + ".wav"))) == 640 * len(frames)


def test_av_hubert_reads_its_manifest(corpus, tmp_path):
    export(corpus, tmp_path / "out", "av-hubert")
    for part, count in (("train", 2), ("valid", 1)):
        root, *lines = rows(tmp_path / f"out/{part}.tsv")
        assert root == "/" and len(lines) == count == len(rows(tmp_path / f"out/{part}.wrd"))
        for line in lines:
            key, video, sound, frames, samples = line.split("\t")
            assert key in video and int(frames) == len(by_opencv(Path(root) / video))
            assert int(samples) == len(heard(Path(root) / sound)) == 640 * int(frames)
    assert rows(tmp_path / "out/train.wrd") == ["bin blue"] * 2


def test_lrs_is_read_by_our_own_reader_of_lrs(corpus, tmp_path):
    export(corpus, tmp_path / "out", "lrs")
    texts = sorted((tmp_path / "out").glob("*/*/*.txt"))
    assert [t.parent.parent.name for t in texts] == ["pretrain", "pretrain", "trainval"]
    for text in texts:
        assert is_lrs(text.read_text())
        words = parse_lrs(text.read_text()).spans
        assert [(w.text.lower(), w.start_us, w.end_us) for w in words] == [
            ("bin", 400_000, 800_000),
            ("blue", 1_000_000, 1_500_000),
        ]
        assert by_opencv(text.with_suffix(".mp4"))[0].shape == (224, 224, 3)


def test_lrs_without_times_of_words_is_no_pretrain(corpus, tmp_path):
    """auto_avsr's split_file and av_hubert's lrs3_prepare.py cut `pretrain` by the words' times."""
    clip = Clip(sample(corpus, 0))
    bare = clip.facts | {"words": None, "text": "It's 5:30, now_then"}
    form = Lrs(Options())
    made = form.files(clip)
    clip.__dict__["facts"] = bare
    made |= form.files(clip)
    assert {name.partition("/")[0] for name in made} == {"pretrain", "trainval"}
    texts = {n: c.decode().splitlines() for n, c in made.items() if n.endswith(".txt")}
    for name, told in texts.items():
        if name.startswith("pretrain"):
            begin = told.index("WORD START END ASDSCORE")
            assert [len(line.split(" ")) for line in told[begin + 1 :]] == [4, 4]
        else:
            assert told[0].split(" ")[2:] == ["IT'S", "5", "30", "NOW", "THEN"]
            assert told[0].split(":")[1].strip() == "IT'S 5 30 NOW THEN"
    export(corpus, tmp_path / "out", "lrs")
    (valid,) = rows(tmp_path / "out/valid.ids")
    assert (tmp_path / "out" / f"{valid}.mp4").is_file() and valid.startswith("trainval/")


def test_talknet_finds_files_by_the_first_eleven_letters(corpus, tmp_path):
    export(corpus, tmp_path / "out", "talknet")
    for split in ("train", "val", "test"):
        for line in rows(tmp_path / f"out/csv/{split}_loader.csv"):
            name, frames, rate, labels, last = line.split("\t")
            int(last)
            folder = tmp_path / "out/clips_videos" / split / name[:11] / name
            times = sorted(float(p.name[:-4]) for p in folder.glob("*.jpg"))
            assert np.allclose(times, np.arange(int(frames)) / float(rate))
            assert len(labels.strip("[]").split(",")) == int(frames)
            wav = tmp_path / "out/clips_audios" / split / name[:11] / f"{name}.wav"
            assert len(heard(wav)) == 640 * int(frames)


def test_lip2wav_has_its_own_mel(corpus, tmp_path):
    done = export(corpus, tmp_path / "out", "lip2wav")
    assert done.clips == 3  # the short one has no window of 75 frames
    (video,) = rows(tmp_path / "out/val.txt")
    (folder,) = (tmp_path / "out/preprocessed" / video).iterdir()
    assert len(list(folder.glob("*.jpg"))) == NUM_FRAMES
    with np.load(folder / "mels.npz") as arrays:
        mel, linear = arrays["spec"], arrays["lspec"]
    assert mel.shape == (80, 1 + 640 * NUM_FRAMES // 200) and linear.shape[0] == 401
    sound = heard(folder / "audio.wav") / 32768
    emphasised = np.append(sound[0], sound[1:] - 0.97 * sound[:-1])
    spectrum = librosa.stft(
        emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect"
    )
    bank = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibel = 20 * np.log10(np.maximum(1e-5, bank @ np.abs(spectrum))) - 20
    wanted = np.clip(8 * (decibel + 100) / 100 - 4, -4, 4)
    assert np.abs(mel - wanted).max() < 1e-3
    assert np.array_equal(spectrograms(heard(folder / "audio.wav"))[0], mel)
    # feeder.py: which columns belong to the window around a frame, at 25 frames/s and T = 75.
    columns = len(mel.T)
    for centre in range(37, NUM_FRAMES - 37):
        total = int(columns * 200 * 25 / 16000)
        start = int(columns * (centre - 37) / float(total))
        assert mel.T[start : start + 240].shape[0] == 240
        assert abs(start * 200 / 16000 - (centre - 37) / 25) <= 0.0125


def test_an_export_of_short_clips_alone_says_how_to_get_longer_ones(corpus, tmp_path):
    short = tmp_path / "short"
    shutil.copytree(corpus / "shards/test", short / "shards/test")
    with pytest.raises(ValueError, match=r"10 frames; its loader .*clips\.mode=whole"):
        export(short, tmp_path / "out", "lip2wav")


def test_names_from_outside_lead_nowhere(corpus, tmp_path):
    assert safe("a-b_C9") == "a-b_C9" and safe(HOSTILE) != safe("..-..-v id")
    export(corpus, tmp_path / "a" / "out", "wav2lip")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out"]


def test_an_export_goes_on_and_keeps_to_its_folder(corpus, tmp_path):
    out = tmp_path / "out"
    first = export(corpus, out, "lrs")
    sums = {p: p.read_bytes() for p in out.rglob("*.mp4")}
    assert export(corpus, out, "lrs").summary() == first.summary()
    assert {p: p.read_bytes() for p in out.rglob("*.mp4")} == sums
    with pytest.raises(ValueError, match="holds an export as lrs"):
        export(corpus, out, "wav2lip")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "film.mp4").write_text("mine")
    with pytest.raises(ValueError):
        export(corpus, tmp_path / "mine", "lrs")
    assert (tmp_path / "mine" / "film.mp4").read_text() == "mine"
    with pytest.raises(ValueError, match="lie in each other"):
        export(corpus, corpus / "out", "lrs")


def test_what_was_refused_is_not_noted_and_leaves_no_folder(corpus, tmp_path):
    root, out = shutil.copytree(corpus, tmp_path / "corpus"), tmp_path / "out"
    (root / "work").mkdir(exist_ok=True)
    export(root, out, "wav2lip")
    with pytest.raises(ValueError, match="holds an export as wav2lip"):
        export(root, out, "lrs")
    assert [m.options for m in made.noted(root)] == ["--as wav2lip"]
    with pytest.raises(ValueError, match="no clip"):
        export(root, tmp_path / "none", "avspeech-csv")
    assert len(made.noted(root)) == 1 and not (tmp_path / "none").exists()


def test_an_export_says_which_videos_it_holds(corpus, tmp_path):
    export(corpus, tmp_path / "out", "wav2lip")
    told = json.loads((tmp_path / "out/export.json").read_text())
    assert told["videos"] == [HOSTILE, "v0", "v1"]
    export(corpus, tmp_path / "one", "synctalk")
    told = json.loads((tmp_path / "one/export.json").read_text())
    assert len(told["videos"]) == len(list((tmp_path / "one/data").glob("*/*.mp4")))


def test_the_command_tells_what_was_left_out(corpus, tmp_path):
    told = CliRunner().invoke(
        main, ["export", str(corpus), "--as", "lrs", "--out", str(tmp_path / "out"), "--json"]
    )
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)[0]["left_out"] == 1
    left = list(csv.DictReader(rows(tmp_path / "out/left_out.csv")))
    assert left == [{"clip_id": "clip-3", "reason": "no text: nobody knows"}]


def test_energon_has_links_and_its_command(corpus, tmp_path):
    told = CliRunner().invoke(
        main, ["export", str(corpus), "--as", "energon", "--out", str(tmp_path / "out")]
    )
    assert told.exit_code == 0, told.output
    links = sorted((tmp_path / "out/shards").glob("*/*.tar"))
    assert len(links) == 4 and all(link.is_symlink() for link in links)
    script = (tmp_path / "out/prepare.sh").read_text()
    assert "CrudeWebdataset" in script and "'val:shards/val/.*'" in script
