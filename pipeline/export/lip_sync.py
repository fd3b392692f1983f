"""Forms for trainers that draw lips from sound: Wav2Lip, LatentSync, SyncTalk."""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np

from pipeline.export.clip import Clip, jpegs, lines, wav, with_sound
from pipeline.export.form import Form, LeftOut


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
    """`videos/{clip}.mp4`, and `{train,val,test}_fileslist.txt` with absolute paths."""

    name = "latentsync"
    reader = "bytedance/LatentSync: latentsync/data, train_fileslist and val_fileslist"
    wants = "MP4s of 256 x 256 registered faces at 25 frames/s with their sound, and lists of them"
    FEWEST_FRAMES = 48  # three windows of 16 frames

    def __init__(self, options) -> None:
        super().__init__(options)
        self._lists: dict[str, list[str]] = defaultdict(list)

    def files(self, clip: Clip) -> dict[str, bytes]:
        if clip.num_frames < self.FEWEST_FRAMES:
            raise LeftOut(f"{clip.num_frames} frames; its loader wants three windows of 16")
        name = f"videos/{clip.key}.mp4"
        self._lists[clip.split].append(f"{self.options.root}/{name}")
        return {name: with_sound(clip.sample.members["face.mp4"], clip.sound)}

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

    def lists(self) -> dict[str, bytes]:
        from pipeline.export.clip import mp4

        made = {}
        for speaker, clip in sorted(self._longest.items()):
            size = (self.SIDE_PX, self.SIDE_PX)
            large = [
                cv2.resize(f, size, interpolation=cv2.INTER_CUBIC) for f in clip.pictures("face")
            ]
            made[f"data/{speaker}/{speaker}.mp4"] = with_sound(mp4(np.stack(large)), clip.sound)
        return made
