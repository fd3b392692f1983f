"""Forms for active speaker detection (TalkNet), lips to speech (Lip2Wav), and AVSpeech's list."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import defaultdict
from dataclasses import fields

import numpy as np
from scipy.signal import lfilter

from manifests.crops import resized
from manifests.records import Track
from manifests.spectra import mel_slaney, stft
from pipeline.export.clip import Clip, jpegs, lines, seconds, wav
from pipeline.export.form import Form, LeftOut, Options
from stages.faces.track_faces import TrackFaces
from stages.sync.speech import SpeechDetector


class TalkNet(Form):
    """AVA's layout: `csv/{split}_loader.csv`, `clips_videos/{split}/{video}/{clip}/{seconds}.jpg`
    and `clips_audios/{split}/{video}/{clip}.wav`."""

    name = "talknet"
    reader = "TaoRuijie/TalkNet-ASD: dataLoader.py, train_loader and val_loader"
    wants = "JPEGs and a WAV a clip, and CSVs with a label a frame: 1 where the face speaks"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._rows: dict[str, list[str]] = defaultdict(list)
        self._speech: SpeechDetector | None = None

    def files(self, clip: Clip) -> dict[str, bytes]:
        # The loader takes the first 11 letters of a clip's name for its folder: a YouTube id.
        digest = hashlib.sha256(clip.video.encode()).digest()
        video = base64.b32encode(digest).decode()[:11].lower()
        name = f"{video}_{clip.key}"
        labels = ", ".join(map(str, self._labels(clip)))
        row = [name, str(clip.num_frames), "25", f"[{labels}]", str(len(self._rows[clip.split]))]
        self._rows[clip.split].append("\t".join(row))
        pictures = resized(clip.pictures("syncnet"), 112, 112)
        folder = f"clips_videos/{clip.split}/{video}/{name}"
        made = {f"{folder}/{seconds(n):.2f}.jpg": c for n, c in enumerate(jpegs(pictures))}
        made[f"clips_audios/{clip.split}/{video}/{name}.wav"] = wav(clip.sound)
        return made

    def _labels(self, clip: Clip) -> list[int]:
        """1 in frames with speech, which a corpus holds of its speaker's face alone."""
        if self._speech is None:
            self._speech = SpeechDetector()
        made = np.zeros(clip.num_frames, int)
        for begin, end in self._speech.regions(clip.sound):
            made[begin:end] = 1
        return made.tolist()

    def lists(self) -> dict[str, bytes]:
        return {f"csv/{split}_loader.csv": lines(rows) for split, rows in self._rows.items()}


class Lip2Wav(Form):
    """`preprocessed/{video}/{clip}/0.jpg ...`, `audio.wav`, `mels.npz`; `{train,val,test}.txt`.

    Its loader counts frames into columns of the mel by the rate of its preset: that of 25 frames
    per second (`synthesizer/presets/dl.json`: windows of 75 frames, 240 columns) is the right one.
    """

    name = "lip2wav"
    reader = "Rudrabha/Lip2Wav: synthesizer/feeder.py and hparams.get_image_list"
    wants = "JPEGs, a WAV and a mel spectrogram a clip, and lists of videos"
    WINDOW_FRAMES = 75
    remedy = (
        "Longer clips: `yld build ... --set clips.mode=whole` (no cuts at pauses) or `--set "
        "clips.max_frames=150`. Sources of 3 s, as GRID's, have 75 frames, and one less where "
        "sound is shifted: they need `--set sync.correct=false` too, which leaves lags as they are"
    )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._videos: dict[str, set[str]] = defaultdict(set)

    def files(self, clip: Clip) -> dict[str, bytes]:
        if clip.num_frames < self.WINDOW_FRAMES:
            raise LeftOut(f"{clip.num_frames} frames; its loader wants a window of 75")
        folder = f"preprocessed/{clip.video}/{clip.key}"
        made = {f"{folder}/{n}.jpg": c for n, c in enumerate(jpegs(clip.detected()))}
        made[f"{folder}/audio.wav"] = wav(clip.sound)
        content = io.BytesIO()
        mel, linear = spectrograms(clip.sound)
        np.savez_compressed(content, spec=mel, lspec=linear)
        made[f"{folder}/mels.npz"] = content.getvalue()
        self._videos[clip.split].add(clip.video)
        return made

    def lists(self) -> dict[str, bytes]:
        return {f"{split}.txt": lines(sorted(rows)) for split, rows in self._videos.items()}


def spectrograms(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lip2Wav's mel float32 [80, T] and linear [401, T] of int16 [N], T = 1 + N // 200.

    Pre-emphasis .97, 50 ms windows every 12.5 ms with reflected edges, 80 bands of Slaney's scale
    from 55 to 7600 Hz of the magnitude, in dB from -100 to 0 below a reference of 20, clipped to
    +-4 (synthesizer/hparams.py of its code).
    """
    length, hop = 800, 200
    signal = lfilter([1.0, -0.97], [1.0], sound.astype(np.float64) / 32768)
    padded = np.pad(signal, length // 2, mode="reflect")
    magnitude = np.abs(stft(padded, length, hop)).T
    mel = mel_slaney(80, length, 55.0, 7600.0) @ magnitude
    return _scaled(mel), _scaled(magnitude)


def _scaled(magnitude: np.ndarray) -> np.ndarray:
    decibel = 20 * np.log10(np.maximum(1e-5, magnitude)) - 20
    return np.clip(8 * (decibel + 100) / 100 - 4, -4, 4).astype(np.float32)


class AvSpeech(Form):
    """`avspeech_{split}.csv`: id, start and end in seconds, face centre as a share of the frame."""

    name = "avspeech-csv"
    reader = "AVSpeech (Ephrat et al. 2018): id, start, end, x, y; no head"
    wants = "where each clip lies in its YouTube video, as AVSpeech's own lists say it; no media"
    needs_media = False

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        tables = options.tables or {}
        self._site = {
            r["video_id"]: r["site_id"]
            for r in tables.get("sources", [])
            if r.get("site_id") and (r.get("extractor") or "").lower().startswith("youtube")
        }
        self._tracks = {r["track_id"]: r for r in tables.get("tracks", [])}
        self._sizes = {
            r["video_id"]: (r["width_px"], r["height_px"]) for r in tables.get("videos", [])
        }
        self._rows: dict[str, list[str]] = defaultdict(list)

    def files(self, clip: Clip) -> dict[str, bytes]:
        site = self._site.get(str(clip.facts.get("video_id")))
        if site is None:
            raise LeftOut("it is of no YouTube video, and AVSpeech's lists know no others")
        x, y = self._centre(clip)
        begin, end = seconds(clip.facts["start_frame"]), seconds(clip.facts["end_frame"])
        self._rows[clip.split].append(f"{site},{begin:.6f},{end:.6f},{x:.6f},{y:.6f}")
        return {}

    def _centre(self, clip: Clip) -> tuple[float, float]:
        """Of the face at the clip's first frame, as a share of width and height."""
        row = self._tracks.get(str(clip.facts.get("track_id")))
        size = self._sizes.get(str(clip.facts.get("video_id")))
        if row is None or size is None or self.options.work is None:
            raise LeftOut("the corpus has no tables; export from the corpus itself")
        track = Track(**{f.name: row[f.name] for f in fields(Track)})
        try:
            boxes = TrackFaces.load(track, self.options.work).boxes
        except (OSError, KeyError, ValueError):
            raise LeftOut(
                "where its face was stands in the corpus's work folder, and is not there any more"
            ) from None
        seen = boxes[clip.facts["start_frame"] - track.start_frame :]
        x0, y0, x1, y1 = next((b for b in seen if np.isfinite(b).all()), np.full(4, np.nan))
        if not np.isfinite(x0):
            raise LeftOut("its face was observed in none of its frames")
        return float((x0 + x1) / 2 / size[0]), float((y0 + y1) / 2 / size[1])

    def lists(self) -> dict[str, bytes]:
        return {f"avspeech_{split}.csv": lines(rows) for split, rows in self._rows.items()}
