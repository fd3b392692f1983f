"""Registration: eyes and nose come to the template, whatever the head does; the mouth is free."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.crops import ANCHORS, CROPS, crop, template
from stages.faces import registration


def face(mouth_open: float = 0.0) -> np.ndarray:
    points = np.zeros((68, 2), np.float32)
    points[:] = (128, 190)
    points[list(ANCHORS)] = template()
    points[57:59] += (0, 40 * mouth_open)
    return points


def moved(points, scale, degrees, shift):
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (points @ matrix.T + shift).astype(np.float32)


@pytest.mark.parametrize("scale, degrees", [(0.3, 0), (1.0, 20), (4.0, -35)])
def test_any_similarity_is_undone(scale, degrees):
    track = np.stack([moved(face(), scale, degrees, (300 + t, 200)) for t in range(30)])
    canonical = registration.apply(registration.transforms(track), track)
    assert registration.residual_px(canonical) < 0.05
    assert np.abs(canonical[:, list(ANCHORS)] - template()).max() < 0.1


def test_the_mouth_moves_nothing_but_itself():
    still = np.stack([face() for _ in range(20)])
    talking = np.stack([face(t % 5 / 4) for t in range(20)])
    assert np.allclose(registration.transforms(still), registration.transforms(talking))


def test_warping_agrees_with_the_landmarks():
    picture = np.zeros((900, 1200, 3), np.uint8)
    points = moved(face(), 2.4, 12, (420, 40))
    eye = points[36:42].mean(0)
    yy, xx = np.mgrid[0:900, 0:1200]
    picture[(xx - eye[0]) ** 2 + (yy - eye[1]) ** 2 < 15**2] = 255
    matrix = registration.transforms(points[None])[0]
    frame = registration.warp(picture, matrix)[..., 0].astype(float)
    ys, xs = np.mgrid[0:256, 0:256]
    centre = np.array([(frame * xs).sum(), (frame * ys).sum()]) / frame.sum()
    wanted = registration.apply(matrix[None], points[None])[0, 36:42].mean(0)
    assert np.abs(centre - wanted).max() < 0.6


def test_crops_have_their_published_sizes():
    frames = np.zeros((2, 256, 256, 3), np.uint8)
    sizes = {
        "syncnet": (224, 224),
        "speech2vid": (112, 112),
        "ephrat": (160, 128),
        "vougioukas": (64, 96),
        "lip": (96, 96),
        "face": (256, 256),
        "mouth": (40, 48),
        "identity": (160, 160),
    }
    assert set(sizes) == set(CROPS)
    for name, size in sizes.items():
        assert crop(frames, name).shape == (2, *size, 3)
        window = CROPS[name]
        ratio = (window.x1 - window.x0) / (window.y1 - window.y0)
        assert abs(ratio - size[1] / size[0]) < 0.02, "no stretching"


@pytest.mark.parametrize(
    "colours", [("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc"), ("smpte170m", "pc")]
)
def test_planes_are_warped_to_what_rgb_would_give(colours, tmp_path):
    import subprocess

    from manifests.media.encode import decode_video, encode_from
    from manifests.media.pictures import iter_pictures
    from manifests.media.video import open_video
    from stages.sources.download.site import ffmpeg_path

    space, span = colours
    path = tmp_path / "colours.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=0.2")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=0.2")
    shown = f"gblur=3,scale=out_color_matrix={space}:out_range={span},format=yuv420p"
    tags = ("-colorspace", space, "-color_range", span, "-c:v", "libx264", "-crf", "4")
    command = [ffmpeg_path(), "-loglevel", "error", "-y", *source, *sound, "-vf", shown, *tags]
    subprocess.run([*command, "-c:a", "aac", str(path)], check=True)
    _, picture = next(iter_pictures(open_video(path)))
    turn, size = np.deg2rad(9.0), 0.7
    matrix = np.array(
        [
            [size * np.cos(turn), -size * np.sin(turn), -60.0],
            [size * np.sin(turn), size * np.cos(turn), -20.0],
        ]
    )
    planes = registration.warp_planes(picture.planes(), matrix, picture.to_bt709())
    assert planes.shape == (384, 256) and (picture.to_bt709() is None) == (
        colours[0] == "bt709" and span == "tv"
    )
    by_planes = decode_video(encode_from([planes] * 3, 6.0)[0])[1].astype(int)
    by_rgb = decode_video(encode_from([registration.warp(picture.rgb(), matrix)] * 3, 6.0)[0])[1]
    assert np.abs(by_planes - by_rgb).mean() < 2.5
    assert np.abs((by_planes - by_rgb).mean((0, 1))).max() < 1.5, "a colour is off"
