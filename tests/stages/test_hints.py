"""Spans, boxes and points of corpora choose what is looked at, whose face it is, where is cut."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from manifests.media.video import open_video
from manifests.records import Hint, Offset, Reject, Video
from pipeline.demo.portraits import load_portraits, render
from pipeline.demo.programme import write_media
from stages.base import Context
from stages.clips.render import Clips, ClipsConfig, ClipsJob
from stages.clips.segmentation import within
from stages.faces.shots import Shots, ShotsConfig
from stages.faces.track_faces import TrackFaces
from stages.faces.tracks import Tracks, TracksConfig
from stages.hints import HintSpan, meant, spans_of, windows_of
from stages.sync.offsets import SyncConfig
from tests.factories import blank

SIDE_PX = 192
NUM_FRAMES = 120


def hint(name: str = "h", **values) -> Hint:
    return Hint(name, "r", "avspeech", name, **values)


def video(num_frames: int = 250, **values) -> Video:
    return blank(
        Video,
        num_frames=num_frames,
        frame_rate="25",
        width_px=200,
        height_px=100,
        container="mov",
        **values,
    )


def face(x: float, y: float, side: float = 20.0, frames: range = range(250)):
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    return np.array(frames), np.tile(box, (len(frames), 1))


def spans(*hints: Hint, **values) -> list[tuple[int, int]]:
    return [(s.start, s.end) for s in spans_of(hints, video(**values))]


def test_times_of_lists_are_those_of_players():
    assert spans(hint(start_s=1.0, end_s=3.0)) == [(25, 75)]
    # The picture begins 80 ms into the file: its first frame is second 0.08 of the list.
    assert spans(hint(start_s=1.0, end_s=3.0), zero_us=80_000) == [(23, 73)]
    assert spans(hint(start_s=8.0, end_s=30.0)) == [(200, 250)]
    assert spans(hint(start_s=11.0, end_s=12.0)) == []
    assert spans(hint(point_x=0.5, point_y=0.5)) == [(0, 250)]


def test_pieces_of_30_s_are_750_frames():
    made = spans_of([hint(every_s=30.0)], video(2000))
    assert [(s.start, s.end) for s in made] == [(0, 750), (750, 1500), (1500, 2000)]
    assert within([(10, 1600)], [(s.start, s.end) for s in made]) == [
        (10, 750),
        (750, 1500),
        (1500, 1600),
    ]
    assert within([(10, 1600)], []) == [(10, 1600)]


def test_only_what_is_needed_is_looked_at():
    long = video(2000)
    two = [hint("a", start_s=10, end_s=12), hint("b", start_s=13, end_s=14)]
    assert windows_of(two, long) == [(225, 375)]
    assert windows_of([*two, hint("c", start_s=60, end_s=62)], long) == [(225, 375), (1475, 1575)]
    assert windows_of([hint(start_s=0, end_s=77)], long) == [(0, 2000)]  # nothing worth skipping
    assert windows_of([hint(every_s=30)], long) == [(0, 2000)]
    assert windows_of([hint(start_s=100, end_s=101)], long) == []


def test_a_point_means_the_face_that_holds_it():
    left, right = face(50, 50), face(150, 50)
    chosen = meant(spans_of([hint(point_x=0.76, point_y=0.55)], video()), [left, right], video())
    assert [len(group) for group in chosen] == [0, 1]
    nobody = meant(spans_of([hint(point_x=0.5, point_y=0.5)], video()), [left, right], video())
    assert nobody == [[], []]


@pytest.mark.parametrize(
    "boxes, height, expected",
    [
        ((0.2, 0.4, 0.3, 0.6), None, [1, 0]),  # shares
        ((1400, 400, 1600, 600), 1000, [0, 1]),  # pixels of a picture ten times as high
        ((0.1, 0.0, 0.6, 1.0), None, [1, 0]),  # a crop much wider than the face
        ((0.45, 0.4, 0.55, 0.6), None, [0, 0]),  # nobody there
    ],
)
def test_a_box_means_the_face_that_it_covers(boxes, height, expected):
    given = spans_of([hint(boxes=list(boxes), box_height_px=height)], video())
    chosen = meant(given, [face(50, 50), face(150, 50)], video())
    assert [len(group) for group in chosen] == expected


def test_boxes_along_a_track_are_followed_and_end():
    moving = hint(
        start_s=0.0,
        end_s=10.0,
        box_times_s=[0.0, 4.0],
        boxes=[0.2, 0.4, 0.3, 0.6, 0.6, 0.4, 0.7, 0.6],
    )
    frames = np.arange(250)
    x = 50 + 80 * np.minimum(frames / 100, 1)
    along = frames, np.stack([x - 10, x * 0 + 40, x + 10, x * 0 + 60], axis=1)
    later = face(130, 50, frames=range(200, 250))  # after the last box: not known
    assert [len(g) for g in meant(spans_of([moving], video()), [along, later], video())] == [1, 0]


def test_of_faces_that_are_not_seen_together_each_may_be_meant():
    one = hint(boxes=[0.2, 0.4, 0.3, 0.6])
    first, second = face(50, 50, frames=range(100)), face(51, 50, frames=range(110, 250))
    rival = face(56, 50, frames=range(100))
    chosen = meant(spans_of([one], video()), [first, second, rival], video())
    assert [len(group) for group in chosen] == [1, 1, 0]


def test_spans_that_overlap_are_cut_once():
    both = [hint("a", start_s=0, end_s=4), hint("b", start_s=2, end_s=6)]
    [group] = meant(spans_of(both, video()), [face(50, 50)], video())
    assert [(s.hint.hint_id, s.start, s.end) for s in group] == [("a", 0, 100), ("b", 100, 150)]
    assert isinstance(group[0], HintSpan)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two people side by side for 4.8 s; stages that are ready."""
    folder = tmp_path_factory.mktemp("two")
    people = load_portraits()
    times = [Fraction(i, 25) for i in range(NUM_FRAMES)]
    drawn = []
    for i in range(4):  # drawing costs more than looking
        faces = [render(p, 0.15 + 0.05 * i, 1.0, (0.0, 0.0, 0.0)) for p in people]
        small = [cv2.resize(f, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for f in faces]
        drawn.append(np.ascontiguousarray(np.concatenate(small, axis=1)))
    pictures = [drawn[(0, 1, 2, 3, 2, 1)[i % 6]] for i in range(NUM_FRAMES)]
    sound = 0.1 * np.random.default_rng(0).standard_normal(NUM_FRAMES * 640).astype(np.float32)
    path = folder / "two.mp4"
    write_media(path, iter(pictures), times, sound)
    stages = Shots(ShotsConfig()), Tracks(TracksConfig())
    for stage in stages:
        stage.setup()
    return open_video(path), folder, stages


def follow(made, name: str, *hints: Hint):
    of, folder, (shots, tracks) = made
    context = Context(work=folder, name=name, video=of, hints=hints)
    found = shots.process([of], context)[0]
    if isinstance(found, Reject):
        return found, []
    outcomes = tracks.process(found, context)
    return found, [o for o in outcomes if isinstance(o, Reject)] or [t for o in outcomes for t in o]


def test_the_face_at_the_point_is_taken_in_its_span_alone(made):
    _, folder, _ = made
    shots, everyone = follow(made, "all")
    assert [(s.start_frame, s.end_frame) for s in shots] == [(0, NUM_FRAMES)]
    assert len(everyone) == 2 and everyone[0].hint_ids == []
    segments = [
        hint("right", start_s=2.0, end_s=3.4, point_x=0.75, point_y=0.5),
        hint("right2", start_s=3.4, end_s=4.6, point_x=0.75, point_y=0.5),
    ]
    shots, [track] = follow(made, "right", *segments)
    assert [(s.start_frame, s.end_frame) for s in shots] == [(25, NUM_FRAMES)]
    assert track.start_frame >= 25 and track.hint_ids == ["right", "right2"]
    assert list(zip(track.hint_start_frames, track.hint_end_frames, strict=True)) == [
        (50, 85),
        (85, 115),
    ]
    faces = TrackFaces.load(track, folder)
    assert np.nanmin(faces.boxes[:, 0]) > SIDE_PX
    # What is followed in a window is what is followed in the whole.
    whole = TrackFaces.load(everyone[1], folder)
    offset = track.start_frame - everyone[1].start_frame
    same = whole.landmarks[offset + 5 : offset + 60]
    assert np.median(np.abs(same - faces.landmarks[5:60])) < 3.0
    # Frame for frame: lips that open and close agree best where neither is shifted.
    opens = [points[:, 66, 1] - points[:, 62, 1] for points in (same, faces.landmarks)]
    fits = {k: np.corrcoef(opens[0], opens[1][5 + k : 60 + k])[0, 1] for k in range(-2, 3)}
    assert max(fits, key=fits.__getitem__) == 0
    clips = Clips(
        ClipsJob(
            ClipsConfig(mode="whole", max_frames=200),
            SyncConfig(undecided="keep", correct=False),
        )
    )
    plans = clips.plan(_offset(track), track, faces, NUM_FRAMES * 640)
    assert [(p.start, p.end) for p in plans] == [(50, 85), (85, 115)]


def _offset(track) -> Offset:
    return blank(
        Offset,
        track_id=track.track_id,
        offset_status="undecided",
        speech_start_frames=[0],
        speech_end_frames=[NUM_FRAMES],
        window_start_frames=[],
        window_lags_ms=[],
        window_scores=[],
    )


def test_a_box_of_nobody_and_a_span_after_the_end_are_rejects(made):
    _, [nobody] = follow(made, "no", hint(end_s=1.0, start_s=0.0, boxes=[0.45, 0.0, 0.55, 0.1]))
    assert nobody.reason == "not_hinted" and "2 faces" in nobody.detail
    outside, _ = follow(made, "out", hint(start_s=100.0, end_s=103.0))
    assert outside.reason == "hints_outside" and "ends at 4.80 s" in outside.detail
