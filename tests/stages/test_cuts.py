"""Cuts by PySceneDetect's detectors with one measurement for all of them."""

from __future__ import annotations

import numpy as np
from scenedetect import FrameTimecode, detectors

from stages.faces.cuts import CutConfig, CutFinder


def test_shared_scores_find_what_pyscenedetect_finds():
    random = np.random.default_rng(2)
    scenes = [random.integers(0, 256, (90, 160, 3), np.uint8) for _ in range(4)]
    pictures = [
        np.clip(scenes[i // 30].astype(int) + random.integers(-9, 9, (90, 160, 3)), 0, 255).astype(
            np.uint8
        )
        for i in range(120)
    ]
    config = CutConfig(find_jumps=False)
    plain = [
        detectors.ContentDetector(threshold=27.0, min_scene_len=5),
        detectors.AdaptiveDetector(adaptive_threshold=3.0, min_scene_len=5),
    ]
    finder, found, gaps = CutFinder(config), set(), []
    for i, picture in enumerate(pictures):
        finder.push(i, picture, picture[..., 1])
        for detector in plain:
            cuts = detector.process_frame(FrameTimecode(i, fps=25.0), picture[..., ::-1].copy())
            found.update(cut.frame_num for cut in cuts)
        gaps.append(abs(plain[0]._frame_score - finder._detectors[0]._frame_score))
    assert max(gaps) < 1e-9
    assert finder.finish() == sorted(found) == [30, 60, 90]
