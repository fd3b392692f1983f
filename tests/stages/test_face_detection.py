"""What a detector is shown, and that a face is followed up to a jump and never across it."""

from __future__ import annotations

import numpy as np
import pytest

from stages.backends.boxes import HOUSE, HouseBox
from stages.cost_meter import Meter
from stages.faces.chips import CHIP_SHAPES, FaceChips
from stages.faces.detection import (
    SCOUT_SCORE,
    FollowConfig,
    Frame,
    distinct,
    frame_detector,
    linked,
)
from stages.faces.following import FaceFollower

BOX = np.array([40, 40, 80, 80], np.float32)
ELSEWHERE = BOX + 200
CONFIG = FollowConfig(search_side_px=400)


class Detector:
    """Finds BOX in every picture of 400 px, and notes the sizes it is shown."""

    name, version, batched = "fake", "1", False
    min_score, keep_score, threshold = 0.5, 0.2, 0.0
    house = HOUSE

    def __init__(self, whole_picture: bool, score: float = 0.9) -> None:
        self.whole_picture, self.score = whole_picture, score
        self.batch_size = 3 if whole_picture else 1
        self.shown: list[list[int]] = []

    def setup(self) -> None:
        """Nothing to load."""

    def detect(self, pictures):
        self.shown.append([picture.shape[1] for picture in pictures])
        return [
            (BOX[None], np.array([self.score]))
            if picture.shape[1] == 400
            else (np.zeros((0, 4), np.float32), np.zeros(0))
            for picture in pictures
        ]


def frame(number: int) -> Frame:
    luma = np.random.default_rng(0).integers(0, 255, (400, 400)).astype(np.uint8)
    return Frame(number, luma, lambda: np.stack([luma] * 3, -1))


def test_the_whole_picture_is_searched_at_first_when_a_face_is_lost_and_after_a_jump():
    detector = Detector(whole_picture=False)
    asked = frame_detector(CONFIG, detector, Meter())
    windows = []
    for number, followed, jumped in (
        (0, [], False),
        (30, [], False),
        (50, [], False),
        (55, [BOX], False),
        (60, [], False),
        (65, [], True),
    ):
        detector.shown.clear()
        if jumped:
            asked.jumped()
        asked.detect(frame(number), followed, [])
        windows.append([sizes[0] for sizes in detector.shown])
    near = round(CONFIG.face_side_px / 40 * 80)
    assert windows == [[400], [], [400], [near, 400], [], [400]]
    assert asked.last_needed(70) == 70


@pytest.mark.parametrize("score, new, known", [(0.9, 1, 1), (0.3, 0, 1)])
def test_a_whole_picture_is_seen_once_and_with_those_asked_for_next(score, new, known):
    """A weak detection keeps a face that is followed and begins none."""
    detector = Detector(True, score)
    asked = frame_detector(CONFIG, detector, Meter())
    frames = [frame(number) for number in range(16)]
    assert asked.last_needed(0) == 10
    assert len(asked.detect(frames[0], [], frames[1:])) == new
    assert asked.last_needed(5) == 5
    assert len(asked.detect(frames[5], [BOX], frames[6:])) == known
    assert len(asked.detect(frames[10], [ELSEWHERE], frames[11:])) == new
    assert detector.shown == [[400] * 3]
    asked.detect(frames[15], [], [])
    assert detector.shown == [[400] * 3, [400]]


def test_the_best_overlap_is_linked_first_and_each_face_once():
    found = [(BOX + 10, 0.9), (BOX + 2, 0.8)]
    assert linked([BOX, BOX + 12], found, 0.3) == {0: 1, 1: 0}
    assert linked([BOX, ELSEWHERE], found, 0.3) == {0: 1}
    assert distinct([(BOX, 0.5), (BOX + 1, 0.9), (ELSEWHERE, 0.1)])[0][1] == 0.9
    assert len(distinct([(BOX, 0.5), (BOX + 1, 0.9), (ELSEWHERE, 0.1)])) == 2


class Landmarker:
    """The same points for every box."""

    batched = in_colour = False
    gathered = 1

    def fit(self, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        points = np.random.default_rng(1).uniform(0, 40, (68, 2)).astype(np.float32)
        return np.stack([points + box[:2] for box in boxes])


class LateJumps:
    """A jump that is known three frames after it happened, as `CutFinder` knows it."""

    def __init__(self, at: int) -> None:
        self.at, self.pushed, self.jumps = at, -1, []

    def push(self, number: int) -> None:
        self.pushed = number
        if number == self.at + 3:
            self.jumps.append(self.at)

    def known_until(self, number: int) -> bool:
        return self.pushed >= number + 3


@pytest.mark.parametrize("whole_picture", [False, True])
def test_a_jump_that_is_known_late_is_not_crossed(whole_picture):
    jumps = LateJumps(13)
    chips = FaceChips(**{n: np.zeros(shape, np.uint8) for n, shape in CHIP_SHAPES.items()})
    follower = FaceFollower(
        CONFIG, Detector(whole_picture), Landmarker(), lambda rgb, points: chips, jumps
    )
    taken: dict[int, list[int]] = {}
    for number in range(24):
        jumps.push(number)
        follower.push(*frame(number))
        for rows in follower.take():
            taken.setdefault(rows.number, []).extend(rows.frames)
    follower.finish()
    for rows in follower.take():
        taken.setdefault(rows.number, []).extend(rows.frames)
    assert taken == {0: list(range(13)), 1: list(range(13, 24))}
    assert follower.take() == []


def test_the_whole_picture_is_searched_where_a_scout_sees_anybody_new():
    class Near(Detector):
        """Finds BOX around where it was too: in a window of 80 px, shown at 220."""

        def detect(self, pictures):
            if pictures[0].shape[1] != 220:
                return super().detect(pictures)
            return [(np.array([[55, 55, 165, 165]], np.float32), np.array([0.9]))]

    detector, scout, seen = Near(whole_picture=False), Detector(whole_picture=True), []
    scout.detect = lambda _: [(np.array(seen, np.float32).reshape(-1, 4), np.ones(len(seen)))]
    asked = frame_detector(CONFIG, detector, Meter(), None, scout)
    for number, sees, followed, searches, num_found in (
        (0, [], [], 0, 0),
        (25, [BOX], [], 1, 1),
        (50, [BOX], [BOX], 0, 1),  # the one who is followed
        (75, [BOX, ELSEWHERE], [BOX], 1, 1),  # another, whom the detector does not find
        (80, [BOX], [BOX - 40], 1, 1),  # lost: its window is smaller, and empty
    ):
        seen[:] = sees
        detector.shown.clear()
        assert len(asked.detect(frame(number), followed, [])) == num_found, number
        assert detector.shown.count([400]) == searches, number
    assert scout.threshold == SCOUT_SCORE


def test_another_detector_may_search_the_whole_picture():
    detector, searcher = Detector(whole_picture=False), Detector(whole_picture=True)
    searcher.house = HouseBox(down=0.0, side=0.5)
    asked = frame_detector(CONFIG, detector, Meter(), searcher)
    found = asked.detect(frame(0), [], [])
    assert len(found) == 1 and found[0][0].tolist() == [50, 50, 70, 70], "in the house's square"
    assert searcher.shown == [[400]] and searcher.threshold == searcher.min_score
    assert detector.shown == [] and detector.threshold == 0.0
    asked.detect(frame(5), [BOX], [])  # lost around where it was, so that it is searched for
    assert [len(shown) for shown in (detector.shown, searcher.shown)] == [1, 2]
    whole = frame_detector(CONFIG, searcher, Meter(), detector)
    assert whole.detector is searcher and not hasattr(whole, "searcher")
