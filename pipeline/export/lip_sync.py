"""Forms for trainers that draw lips from sound: Wav2Lip, LatentSync, SyncTalk."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np

from pipeline.export.clip import Clip, jpegs, lines, mp4, wav, with_sound
from pipeline.export.form import Form, LeftOut

BROW_LEFT, BROW_RIGHT, NOSE = slice(17, 22), slice(22, 27), slice(27, 36)


class Wav2Lip(Form):
    """`{root}/{video}/{clip}/0.jpg ...` and `audio.wav`, and `filelists/{train,val,test}.txt`."""

    name = "wav2lip"
    reader = "Rudrabha/Wav2Lip: wav2lip_train.py and color_syncnet_train.py, class Dataset"
    wants = "a folder a clip with a JPEG a frame (the box of a detector) and 16 kHz audio.wav"
    FEWEST_FRAMES = 16  # its loader passes over folders of at most 3 x 5 pictures, without a word

    def __init__(self, options) -> None:
        super().__init__(options)
        self._lists: dict[str, list[str]] = defaultdict(list)

    def files(self, clip: Clip) -> dict[str, bytes]:
        if clip.num_frames < self.FEWEST_FRAMES:
            raise LeftOut(f"{clip.num_frames} frames; its loader passes over fewer than 16")
        folder = f"{clip.video}/{clip.key}"
        made = {f"data/{folder}/{n}.jpg": c for n, c in enumerate(jpegs(clip.detected()))}
        made[f"data/{folder}/audio.wav"] = wav(clip.sound)
        self._lists[clip.split].append(folder)
        return made

    def lists(self) -> dict[str, bytes]:
        return {f"filelists/{split}.txt": lines(rows) for split, rows in self._lists.items()}


class LatentSync(Form):
    """`videos/{clip}.mp4`, and `{train,val,test}_fileslist.txt` with absolute paths.

    Its loader aligns nothing: what `preprocess/affine_transform.py` would have made must be there,
    for its mask of the mouth is one fixed picture. So each clip is laid onto the three points of
    `latentsync/utils/affine_transform.py` (brows and nose), once for the clip: raised brows move
    nothing. It keeps its spectrograms by a file's name alone, so names differ in all of a corpus.
    """

    name = "latentsync"
    reader = "bytedance/LatentSync (a229c39): latentsync/data/{unet,syncnet}_dataset.py, by decord"
    wants = "MP4s of 256 x 256 faces, laid as its own preprocessing lays them, and lists of them"
    FEWEST_FRAMES = 48  # its loader passes over fewer than three windows of 16
    SIDE_PX = 256
    POINTS = np.array([[17.0, 20.0], [58.0, 20.0], [37.5, 40.0]])
    """Middle of the left brow, of the right one, and of the nose (of 68 points: what it asked of
    them before its commit 354310f, and has stand-ins for in the 106 it uses since), in a picture of
    75 x 100, which is drawn into a square at the end."""
    SHAPE = np.array([75.0, 100.0])
    OUTSIDE = 127

    def __init__(self, options) -> None:
        super().__init__(options)
        self._lists: dict[str, list[str]] = defaultdict(list)

    def files(self, clip: Clip) -> dict[str, bytes]:
        if clip.num_frames < self.FEWEST_FRAMES:
            raise LeftOut(f"{clip.num_frames} frames; its loader wants three windows of 16")
        name = f"videos/{clip.key}.mp4"
        self._lists[clip.split].append(f"{self.options.root}/{name}")
        matrix = self.matrix(np.median(clip.sample.landmarks, axis=0))
        size, outside = (self.SIDE_PX, self.SIDE_PX), (self.OUTSIDE,) * 3
        laid = [
            cv2.warpAffine(f, matrix, size, flags=cv2.INTER_CUBIC, borderValue=outside)
            for f in clip.pictures("face")
        ]
        return {name: with_sound(mp4(np.stack(laid)), clip.sound)}

    @classmethod
    def matrix(cls, landmarks: np.ndarray) -> np.ndarray:
        """float64 [2, 3]: from px of a face with `landmarks` float32 [68, 2] to px of the file."""
        own = np.stack([landmarks[part].mean(axis=0) for part in (BROW_LEFT, BROW_RIGHT, NOSE)])
        middle, target = own.mean(axis=0), cls.POINTS.mean(axis=0)
        spread, wanted = own - middle, cls.POINTS - target
        u, _, v = np.linalg.svd(spread.T @ wanted)
        turn = v.T @ np.diag([1.0, np.sign(np.linalg.det(v.T @ u.T))]) @ u.T
        turn *= np.linalg.norm(wanted) / max(float(np.linalg.norm(spread)), 1e-6)
        stretch = np.diag(cls.SIDE_PX / cls.SHAPE)
        return stretch @ np.column_stack([turn, target - turn @ middle])

    def lists(self) -> dict[str, bytes]:
        return {f"{split}_fileslist.txt": lines(rows) for split, rows in self._lists.items()}


class SyncTalk(Form):
    """`data/{speaker}/{speaker}.mp4`: the longest clip of each speaker, 512 x 512."""

    name = "synctalk"
    reader = "ZiqiaoPeng/SyncTalk: data_utils/process.py"
    wants = "one MP4 of 512 x 512 a person at 25 frames/s with sound, its longest clip"
    SIDE_PX = 512

    def __init__(self, options) -> None:
        super().__init__(options)
        self._longest: dict[str, Clip] = {}

    def files(self, clip: Clip) -> dict[str, bytes]:
        best = self._longest.get(clip.speaker)
        if best is None or (clip.num_frames, clip.key) > (best.num_frames, best.key):
            self._longest[clip.speaker] = clip
        return {}

    def kept(self, clips: set[str]) -> set[str]:
        return {best.sample.key for best in self._longest.values()}

    def lists(self) -> dict[str, bytes]:
        made = {}
        for speaker, clip in sorted(self._longest.items()):
            size = (self.SIDE_PX, self.SIDE_PX)
            large = [
                cv2.resize(f, size, interpolation=cv2.INTER_CUBIC) for f in clip.pictures("face")
            ]
            made[f"data/{speaker}/{speaker}.mp4"] = with_sound(mp4(np.stack(large)), clip.sound)
        return made
