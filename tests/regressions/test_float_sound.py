"""Level and finiteness are looked at before any conversion: sound of floats in `yld evaluate`.

NaN became full scale, peaks over 1 were clipped, and an offset counted as sound: each gave a
score with status ok.
"""

from __future__ import annotations

import importlib.util
import wave

import av
import numpy as np
import pytest
from scipy.io import wavfile

from evaluation.audio import decode_sound, read_sound
from evaluation.metrics import pictures, recognition, signals, voice
from evaluation.metrics.errors import NoScore
from evaluation.mixing import weights_of
from evaluation.mos.page import make_test
from evaluation.records import Score, Utterance
from evaluation.report import write_report
from evaluation.round_trip import write_round_trip
from evaluation.scoring import score
from evaluation.statistics import summarise
from manifests.media.encode import decode_flac, encode_video
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from tests.evaluation.clips import DATA, speechlike

RATE = 16000
NAMES = [
    "stoi",
    "a-stoi",
    "estoi",
    "mcd",
    "a-mcd",
    *(["pesq", "pesq-wb"] if importlib.util.find_spec("pesq") else []),
]
GAINLESS = {"stoi": 1.0, "a-stoi": 1.0, "estoi": 1.0, "pesq": 4.5486, "pesq-wb": 4.6439}


@pytest.fixture
def sound():
    return speechlike(1.5)


def statuses(folder, reference, hypothesis, names=NAMES, rate=RATE, **known):
    for name, samples in (("ref", reference), ("hyp", hypothesis)):
        wavfile.write(folder / f"{name}.wav", rate, samples)
    return list(
        score(Utterance("u", str(folder / "ref.wav"), str(folder / "hyp.wav"), **known), names)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["all", "some", "last"])
def test_what_is_no_number_is_an_error_of_the_file_that_has_it(tmp_path, sound, value, where):
    bad = sound.copy()
    bad[{"all": slice(None), "some": slice(1600, 1700), "last": slice(-1, None)}[where]] = value
    for role, files in (("hypothesis", (sound, bad)), ("reference", (bad, sound))):
        for row in statuses(tmp_path, *files):
            assert (row.status, row.value) == ("error", None)
            assert row.reason.startswith(f"the {role} cannot be read: ")
            assert f"{role[:3]}.wav holds samples that are no finite number" in row.reason
            if where == "some":
                assert row.reason.endswith("the first at 0.100 s")
    rows = statuses(tmp_path, sound, bad, ["wer", "voice"], text="bin blue at f two now")
    assert {row.status for row in rows} == {"error"}


@pytest.mark.parametrize("gain", [1.5, 3.0, 1e3, 32767.0, 1e-2])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_gain_clips_nothing_and_costs_no_score(tmp_path, sound, gain, kind):
    rows = {r.metric: r for r in statuses(tmp_path, sound, (sound * gain).astype(kind))}
    assert {r.status for r in rows.values()} == {"ok"}
    for name in rows.keys() & GAINLESS.keys():
        assert rows[name].value == pytest.approx(GAINLESS[name], abs=2e-4), name
    np.testing.assert_allclose(read_sound(tmp_path / "hyp.wav"), sound * gain, rtol=1e-6)


def test_what_counts_in_integers_inside_scales_and_does_not_clip(tmp_path, sound):
    loud = 2.5 * sound
    assert np.abs(signals.within_full_scale(loud)).max() == pytest.approx(1)
    assert signals.within_full_scale(sound) is sound
    assert voice.similarity(sound / np.abs(sound).max(), loud) == pytest.approx(1, abs=1e-4)
    heard = []
    for signal in (sound / np.abs(sound).max(), 40 * sound):

        class Decoder:
            def process_raw(self, pcm, full_utt):
                heard.append(np.frombuffer(pcm, "<i2"))

            def start_utt(self):
                pass

            end_utt = start_utt

        recognition.hear(Decoder(), signal)
    assert np.abs(heard[0].astype(int) - heard[1]).max() <= 1
    with pytest.raises(ValueError, match="not finite"):
        recognition.hear(Decoder(), np.full(RATE, np.nan))


@pytest.mark.parametrize(("kind", "full"), [(np.float32, 1), (np.int16, 2**15), (np.int32, 2**31)])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_an_offset_is_no_sound(tmp_path, kind, full, rate):
    """Whatever the format, and after a resampling too."""
    time = np.arange(2 * rate) / rate
    for offset in (np.full(2 * rate, 0.5), 0.2 + 0.1 * time, np.zeros(2 * rate)):
        silence = (offset * full).astype(kind)
        sound = np.interp(time, np.arange(2 * RATE) / RATE, speechlike(2.0)).astype(np.float32)
        for role, files in (("hypothesis", (sound, silence)), ("reference", (silence, sound))):
            for row in statuses(tmp_path, *files, rate=rate):
                assert (row.status, row.value) == ("silent", None), (row, offset[:2])
                assert role in row.reason


@pytest.mark.parametrize("gain", [1e-6, 1e-40])
def test_silence_is_a_level_and_no_number_of_bits(tmp_path, sound, gain):
    """Under -70 dBFS nothing is heard, though floats hold it (denormals, too) without loss."""
    for row in statuses(tmp_path, sound, (sound * gain).astype(np.float32)):
        assert row.status == "silent" and "hypothesis" in row.reason
    # With an offset it is not louder; and sound on an offset is sound.
    (row,) = statuses(tmp_path, sound, (sound * gain + 0.3).astype(np.float32), ["stoi"])
    assert row.status == "silent"
    (row,) = statuses(tmp_path, sound, (sound + 0.3).astype(np.float32), ["stoi"])
    assert row.status == "ok" and row.value > 0.99


def test_level_of_a_tone():
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    for offset in (0, 0.3, 100):
        assert signals.loudest_dbfs(tone + offset) == pytest.approx(-3.01, abs=0.05)
    assert signals.loudest_dbfs(np.full(7, 0.3)) == signals.loudest_dbfs(tone[:0]) == -np.inf
    # A last piece of under 20 ms is no step down to zero.
    assert signals.loudest_dbfs(np.full(RATE + 13, 0.3)) == -np.inf


def test_samples_beyond_what_can_be_computed_with_are_an_error(tmp_path, sound):
    (row,) = statuses(tmp_path, sound, sound.astype(np.float64) * 1e300, ["mcd"])
    assert row.status == "error" and "too large" in row.reason


def test_no_samples_and_other_depths(tmp_path, sound):
    (row,) = statuses(tmp_path, sound, sound[:0], ["stoi"])
    assert row.status == "too_short" and "hypothesis has no samples" in row.reason
    deep = np.round(sound.astype(np.float64) * 2**23).astype("<i4")
    with wave.open(str(tmp_path / "deep.wav"), "wb") as file:
        file.setparams((1, 3, RATE, 0, "NONE", ""))
        file.writeframes(deep.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    np.testing.assert_array_equal(
        decode_sound(tmp_path / "deep.wav"), (deep / 2**23).astype(np.float32)
    )
    shallow = np.round(sound * 127 + 128).astype(np.uint8)
    wavfile.write(tmp_path / "shallow.wav", RATE, shallow)
    np.testing.assert_array_equal(
        decode_sound(tmp_path / "shallow.wav"), (shallow.astype(np.float32) - 128) / 128
    )


def test_channels_of_floats_are_mixed_as_integers_are(tmp_path, sound):
    """Stereo halves; a layout nobody knows, equally; opposite phases are heard in one channel."""
    other = speechlike(1.5, seed=5)
    for kind, full in ((np.float32, 1), (np.int16, 32767)):

        def written(*channels, kind=kind, full=full):
            made = np.stack(channels, 1)
            wavfile.write(
                tmp_path / "x.wav", RATE, (np.rint(made * full) if full > 1 else made).astype(kind)
            )
            return decode_sound(tmp_path / "x.wav")

        step = 0 if full == 1 else 4e-5
        np.testing.assert_allclose(written(sound, other), (sound + other) / 2, atol=step + 1e-6)
        np.testing.assert_allclose(written(*[sound] * 9), sound, atol=step + 1e-6)
        np.testing.assert_allclose(written(sound, -sound), sound, atol=step + 1e-6)
    assert weights_of("stereo", 2).tolist() == [0.5, 0.5] and weights_of("9 channels", 9) is None


def cut(path, header_bytes=None, size=None):
    """A WAV with another length in its header, or with fewer bytes."""
    content = bytearray(path.read_bytes()[:size])
    if header_bytes is not None:
        at = content.index(b"data") + 4
        content[at : at + 4] = header_bytes.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def test_a_wav_is_as_long_as_its_header_says(tmp_path, sound):
    pcm = np.rint(sound * 32767).astype(np.int16)

    def made(**change):
        wavfile.write(tmp_path / "x.wav", RATE, pcm)
        return cut(tmp_path / "x.wav", **change)

    with pytest.raises(ValueError, match=r"x\.wav is truncated: .* 1\.50 s, 0\.4\d s are there"):
        decode_sound(made(size=14000))
    with pytest.raises(ValueError, match=r"wrong length in its header: it says 0\.50 s"):
        decode_sound(made(header_bytes=16000))
    with pytest.raises(ValueError, match="truncated"):
        decode_sound(made(header_bytes=2**31))
    for unknown in (0, 2**32 - 1):  # written by programs that stream
        assert len(decode_sound(made(header_bytes=unknown))) == len(pcm)
    assert len(decode_sound(made(size=-100))) == len(pcm) - 50  # within what a pair may differ by
    whole = made().read_bytes()
    (tmp_path / "x.wav").write_bytes(whole + b"LIST\x04\0\0\0INFO")
    assert len(decode_sound(tmp_path / "x.wav")) == len(pcm)


def test_the_round_trip_the_page_and_the_report_clip_nothing(tmp_path, sound):
    for system, gain in (("ref", 1.0), ("hyp", 3.0)):
        (tmp_path / system).mkdir()
        wavfile.write(tmp_path / system / "u.wav", RATE, sound * np.float32(gain))
    quiet, loud = (
        write_round_trip(tmp_path / s / "u.wav", tmp_path / f"{s}.flac") for s in ("ref", "hyp")
    )
    assert quiet.suffix == ".flac" and loud.suffix == ".wav"
    np.testing.assert_allclose(decode_sound(loud) / 3, decode_sound(quiet), atol=0.02)
    made = make_test(
        tmp_path / "p.html", tmp_path / "k.json", {s: tmp_path / s for s in ("ref", "hyp")}
    )
    assert made.num_stimuli == 2
    utterance = Utterance("u", str(tmp_path / "absent.wav"), str(tmp_path / "hyp" / "u.wav"))
    row = Score("u", "wer", 1.0, "ok", "s")
    rows = {"hypothesis": [row]}
    write_report(tmp_path / "r.html", rows, {"hypothesis": summarise([row])}, [utterance])
    assert (tmp_path / "r.html").read_text().count("data:audio/flac") == 1


def movie(path, samples, codec="pcm_f32le"):
    """A video whose sound is floats, 16 kHz."""
    content, _ = encode_video([np.full((64, 64, 3), i, np.uint8) for i in range(40)])
    (path.parent / "silent.mp4").write_bytes(content)
    with av.open(str(path.parent / "silent.mp4")) as source, av.open(str(path), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0])
        stream = target.add_stream(codec, rate=RATE, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                target.mux(packet)
        for start in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024].astype(np.float32), format="flt", layout="mono"
            )
            frame.sample_rate, frame.pts = RATE, start
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def test_float_sound_of_a_video(tmp_path, sound):
    path = movie(tmp_path / "loud.mov", 3 * sound)
    np.testing.assert_allclose(read_sound(path)[: len(sound)], 3 * sound, atol=4 / 32768)
    path = movie(tmp_path / "plain.mov", sound)
    np.testing.assert_allclose(read_sound(path)[: len(sound)], sound, atol=1 / 32768)
    bad = sound.copy()
    bad[8000:9000] = np.nan
    path = movie(tmp_path / "bad.mov", bad)
    with pytest.raises(ValueError, match=r"bad\.mov holds samples that are no finite number"):
        read_sound(path)
    # A corpus is built from what can be heard of it: silence there, never full scale.
    video = open_video(path)
    pcm = read_audio(video)[: len(sound)]
    assert not pcm[8000:9000].any()
    np.testing.assert_allclose(pcm[:7990] / 32768, sound[:7990], atol=2 / 32768)


def test_infinite_landmarks_are_an_error_and_missing_ones_are_not():
    points = np.random.default_rng(0).random((5, 68, 2))
    points[0] = np.nan
    assert pictures.lip_landmark_distance(points, points) == 0
    points[1, 50] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        pictures.lip_landmark_distance(points, points)
    with pytest.raises(NoScore):
        pictures.lip_landmark_distance(np.full((5, 68, 2), np.nan), np.zeros((5, 68, 2)))


@pytest.mark.parametrize(
    ("name", "status", "best"),
    [
        ("a", "error", None),
        ("b", "ok", {"stoi": 1.0, "pesq": 4.5486, "pesq-wb": 4.6439}),
        ("c", "error", None),
    ],
)
def test_the_files_that_showed_it(name, status, best):
    folder = DATA.parent / "faults" / "evaluate"
    if not folder.is_dir():
        pytest.skip("the inputs are not here; set YLD_SHARED to the folder with faults/")
    names = [n for n in NAMES if n in GAINLESS]
    rows = list(
        score(
            Utterance(
                name, str(folder / "ref" / f"{name}.wav"), str(folder / "hyp" / f"{name}.wav")
            ),
            names,
        )
    )
    for row in rows:
        assert row.status == status
        if best and row.metric in best:
            assert row.value == pytest.approx(best[row.metric], abs=2e-4)


def test_flac_of_integers_is_read_to_the_bit(tmp_path):
    from manifests.media.encode import encode_flac

    pcm = np.random.default_rng(0).integers(-32768, 32768, 20000).astype(np.int16)
    (tmp_path / "x.flac").write_bytes(encode_flac(pcm))
    np.testing.assert_array_equal(decode_sound(tmp_path / "x.flac") * 32768, pcm)
    np.testing.assert_array_equal(decode_flac((tmp_path / "x.flac").read_bytes()), pcm)


def test_a_value_that_is_no_number_never_comes_back(tmp_path):
    """Neither from rows of an earlier run nor into the table's JSON."""
    from pipeline.commands.options import no_nan
    from pipeline.scoring.evaluate import RowStore

    good = '{"key": "k", "row": {"utterance": "u", "metric": "stoi", "value": 0.5, "status": "ok", '
    good += '"signature": "s"}}'
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\n".join(
            [
                good,
                good.replace("0.5", "NaN").replace('"k"', '"l"'),
                good.replace("0.5", "null").replace('"k"', '"m"'),
                "{}",
                "[1]",
                "garbage\xff",
            ]
        )
        + "\n"
    )
    assert list(RowStore(path).rows) == ["k"]
    row = Score("u", "stoi", float("nan"), "ok", "s")
    assert summarise([row, Score("v", "stoi", 0.5, "ok", "s")])[0].mean == 0.5
    assert no_nan([{"a": float("inf"), "b": [1.5, float("nan")], "c": 2}]) == [
        {"a": None, "b": [1.5, None], "c": 2}
    ]
