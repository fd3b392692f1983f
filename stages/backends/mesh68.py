"""Which vertices of MediaPipe's face mesh stand for the 68 points.

The 68 points are those of iBUG 300-W: 0-16 jaw from the picture's left ear over the chin, 17-26
brows, 27-30 bridge of the nose, 31-35 its base, 36-47 eyes, 48-59 outer and 60-67 inner lips.
Each is the mesh vertex of the same place: on the contour that MediaPipe itself names for jaw,
brows, eyes and lips, left and right by the mesh's mirror, and among the neighbours on it the one
nearest to dlib's point in the median over 150 frontal faces of the reference clips. The mesh
draws the jaw's sides up to 0.13 eye distances away from 300-W's (docs/backends.md).
"""

from __future__ import annotations

JAW = (127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE = (168, 6, 195, 4, 240, 97, 2, 326, 460)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)

VERTICES = JAW + BROWS + NOSE + EYES + OUTER_LIPS + INNER_LIPS
"""Mesh vertex of each of the 68 points."""

MIRROR_68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    27,
    28,
    29,
    30,
    35,
    34,
    33,
    32,
    31,
    45,
    44,
    43,
    42,
    47,
    46,
    39,
    38,
    37,
    36,
    41,
    40,
    54,
    53,
    52,
    51,
    50,
    49,
    48,
    59,
    58,
    57,
    56,
    55,
    64,
    63,
    62,
    61,
    60,
    67,
    66,
    65,
)
"""The point on the other side of the face, for each of the 68."""
