"""dlib's own weight files, read without dlib: its face network and its 68 regression trees.

A file is a row of numbers after dlib's `serialize`: an integer is a byte that holds its sign (bit
7) and its length (bits 0 to 3), and so many bytes, low ones first; a float of a matrix is two
integers, mantissa and exponent of two; a tensor is the integer 2, four lengths, and plain
float32. Everything is checked against the shapes that are expected. Raises ValueError for a file
of another kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stages.networks.onnx_file import Graph

CHANNEL_MEANS = (122.782, 117.001, 104.298)
"""RGB that dlib's `input_rgb_image` takes away; it then divides by 256."""
NET = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Levels of dlib's `dnn_face_recognition_ex.cpp`: channels, residual blocks, and whether the first
of them halves the picture."""


def _integer(content: bytes, place: int) -> tuple[int, int]:
    """The integer at a place, and where the next number begins."""
    control = content[place]
    end = place + 1 + (control & 0x0F)
    value = int.from_bytes(content[place + 1 : end], "little")
    return (-value if control & 0x80 else value), end


def _tensor(content: bytes, place: int) -> tuple[np.ndarray, int]:
    lengths = []
    for _ in range(5):
        number, place = _integer(content, place)
        lengths.append(number)
    if lengths[0] != 2 or min(lengths) < 1:
        raise ValueError("no tensor of dlib's second version")
    end = place + 4 * int(np.prod(lengths[1:]))
    return np.frombuffer(content[place:end], "<f4").reshape(lengths[1:]), end


def _tensors(content: bytes, layer: str, start: int, skipped: int = 0) -> tuple[np.ndarray, int]:
    """The parameters of the next layer of this name after `start`."""
    name = bytes([1, len(layer)]) + layer.encode()
    place = content.find(name, start)
    if place < 0:
        raise ValueError(f"a layer {layer} is wanting")
    place += len(name)
    for _ in range(skipped):
        _, place = _integer(content, place)
    return _tensor(content, place)


def face_network(content: bytes) -> bytes:
    """`dlib_face_recognition_resnet_model_v1.dat` as an ONNX file.

    Takes `chips` float32 [N, 3, 150, 150] of 0..255 RGB and gives float32 [N, 128]. A convolution
    and the affine layer behind it become one.
    """
    graph, place = Graph(), 0

    def convolved(value: str, inputs: int, outputs: int, size: int, stride: int) -> str:
        nonlocal place
        own, place = _tensors(content, "con_4", place)
        scale, place = _tensors(content, "affine_", place)
        if own.size != outputs * (inputs * size * size + 1) or scale.size != 2 * outputs:
            raise ValueError("the layers are not those of dlib's face network")
        gamma, beta = scale.ravel()[:outputs], scale.ravel()[outputs:]
        weights = own.ravel()[:-outputs].reshape(outputs, inputs, size, size)
        pad = size // 2 if stride == 1 else 0
        return graph.add(
            "Conv",
            value,
            graph.constant(weights * gamma[:, None, None, None]),
            graph.constant(own.ravel()[-outputs:] * gamma + beta),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def padded(value: str, now: tuple[int, int], wanted: tuple[int, int]) -> str:
        """dlib adds tensors of two sizes as if zeros lay behind the smaller one."""
        if now == wanted:
            return value
        more = [0] * 5 + [wanted[0] - now[0], wanted[1] - now[1], wanted[1] - now[1]]
        return graph.add("Pad", value, graph.constant(np.array(more, np.int64)))

    means = np.array(CHANNEL_MEANS, np.float32).reshape(1, 3, 1, 1)
    value = graph.add("Sub", "chips", graph.constant(means))
    value = graph.add("Mul", value, graph.constant(np.full((1, 1, 1, 1), 1 / 256, np.float32)))
    value = graph.add("Relu", convolved(value, 3, 32, 7, 2))
    value = graph.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])
    channels, side = 32, 35
    for outputs, blocks, halves in NET:
        for block in range(blocks):
            down = halves and block == 0
            branch = graph.add("Relu", convolved(value, channels, outputs, 3, 2 if down else 1))
            branch = convolved(branch, outputs, outputs, 3, 1)
            own = ((side - 3) // 2 + 1) if down else side
            if down:
                value = graph.add("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2])
                side //= 2
            most = (max(channels, outputs), max(side, own))
            value = padded(value, (channels, side), most)
            branch = padded(branch, (outputs, own), most)
            channels, side = most
            value = graph.add("Relu", graph.add("Add", value, branch))
    matrix, _ = _tensors(content, "fc_2", place, skipped=2)
    if matrix.size != channels * 128:
        raise ValueError("the last layer is not that of dlib's face network")
    value = graph.add("Flatten", graph.add("GlobalAveragePool", value))
    value = graph.add("MatMul", value, graph.constant(matrix.reshape(channels, 128)))
    return graph.model({"chips": ("count", 3, 150, 150)}, [value])


CASCADES, TREES, SPLITS, POINTS, PIXELS = 15, 500, 15, 68, 500
"""Of `shape_predictor_68_face_landmarks.dat`: trees of depth 4, and pixels looked at in each
cascade."""
_AHEAD = 512
"""Floats looked at in one step; one in 256 is shorter than the others and ends it."""


@dataclass(frozen=True)
class Trees:
    """Regression trees over 68 points, after Kazemi & Sullivan 2014."""

    mean: np.ndarray
    """float32 [136], x and y in turn; the face's box is 0 to 1."""
    first: np.ndarray
    """int64 [15, 500, 15]: the pixels that each node of a tree compares, numbered per cascade..."""
    second: np.ndarray
    """... with this one."""
    threshold: np.ndarray
    """float32 [15, 500, 15]: of a difference above it, the left child is next."""
    leaves: np.ndarray
    """float32 [15, 8000, 136]: what the leaves of all trees of a cascade add to the points."""
    anchor: np.ndarray
    """int64 [15, 500]: the point that a pixel lies near."""
    delta: np.ndarray
    """float32 [15, 500, 2]: how far from it, in the mean face."""

    SHAPES: ClassVar = (
        (POINTS * 2,),
        (CASCADES, TREES, SPLITS),
        (CASCADES, TREES, SPLITS),
        (CASCADES, TREES, SPLITS),
        (CASCADES, TREES * (SPLITS + 1), POINTS * 2),
        (CASCADES, PIXELS),
        (CASCADES, PIXELS, 2),
    )

    @staticmethod
    def num_values() -> int:
        """Length of `flat`."""
        return sum(int(np.prod(shape)) for shape in Trees.SHAPES)

    def flat(self) -> np.ndarray:
        """Everything as one float32 array: its whole numbers are small."""
        parts = (self.mean, self.first, self.second, self.threshold, self.leaves, self.anchor)
        return np.concatenate([part.ravel() for part in (*parts, self.delta)], dtype=np.float32)

    @staticmethod
    def of_flat(values: np.ndarray) -> Trees:
        """What `flat` gave; the leaves stay where they lie. Raises ValueError."""
        sizes = [int(np.prod(shape)) for shape in Trees.SHAPES]
        if values.dtype != np.float32 or values.shape != (sum(sizes),):
            raise ValueError("these are no flattened trees")
        parts = np.split(values, np.cumsum(sizes)[:-1])
        mean, first, second, threshold, leaves, anchor, delta = (
            part.reshape(shape) for part, shape in zip(parts, Trees.SHAPES, strict=True)
        )
        return Trees(
            np.array(mean),
            first.astype(np.int64),
            second.astype(np.int64),
            np.array(threshold),
            leaves,
            anchor.astype(np.int64),
            np.array(delta),
        )


class _Reader:
    """Goes through a file number by number, and over long rows of floats many at a time."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0
        self._bytes = np.frombuffer(content, np.uint8)

    def integer(self, *allowed: int) -> int:
        value, self.place = _integer(self.content, self.place)
        if allowed and value not in allowed:
            raise ValueError(f"{value} where {allowed} was expected")
        return value

    def floats(self, count: int) -> np.ndarray:
        out, done = np.empty(count), 0
        while done < count:
            ahead = min(count - done, _AHEAD, (len(self._bytes) - self.place) // 6)
            rows = self._bytes[self.place : self.place + 6 * ahead].reshape(-1, 6)
            odd = np.flatnonzero(((rows[:, 0] & 0x7F) != 3) | ((rows[:, 4] & 0x7F) != 1))
            same = int(odd[0]) if len(odd) else ahead
            if same:
                out[done : done + same] = _six_byte_floats(rows[:same])
                done, self.place = done + same, self.place + 6 * same
            if done < count:
                out[done] = self.integer() * 2.0 ** self.integer()
                done += 1
        return out

    def nodes(self, count: int) -> list[tuple[int, int, float]]:
        """Two whole numbers and a float each."""
        made, content, place = [], self.content, self.place
        for _ in range(count):
            first, place = _integer(content, place)
            second, place = _integer(content, place)
            mantissa, place = _integer(content, place)
            exponent, place = _integer(content, place)
            made.append((first, second, mantissa * 2.0**exponent))
        self.place = place
        return made

    def column(self, count: int) -> np.ndarray:
        """A matrix of one column: its sizes, negated, then its floats."""
        self.integer(-count)
        self.integer(-1)
        return self.floats(count)


def _six_byte_floats(rows: np.ndarray) -> np.ndarray:
    """uint8 [N, 6]: three bytes of mantissa and one of exponent, each behind its control byte."""
    wide = rows.astype(np.int64)
    mantissa = wide[:, 1] | wide[:, 2] << 8 | wide[:, 3] << 16
    mantissa = np.where(wide[:, 0] & 0x80, -mantissa, mantissa)
    return np.ldexp(mantissa.astype(np.float64), np.where(wide[:, 4] & 0x80, -1, 1) * wide[:, 5])


def regression_trees(content: bytes) -> Trees:
    """`shape_predictor_68_face_landmarks.dat`. Raises ValueError for another file."""
    read = _Reader(content)
    read.integer(1)
    mean = read.column(2 * POINTS)
    read.integer(CASCADES)
    nodes = np.empty((CASCADES, TREES, SPLITS, 3))
    leaves = np.empty((CASCADES, TREES, SPLITS + 1, 2 * POINTS), np.float32)
    for cascade in range(CASCADES):
        read.integer(TREES)
        for tree in range(TREES):
            read.integer(SPLITS)
            nodes[cascade, tree] = read.nodes(SPLITS)
            read.integer(SPLITS + 1)
            for leaf in range(SPLITS + 1):
                leaves[cascade, tree, leaf] = read.column(2 * POINTS)
    read.integer(CASCADES)
    anchor = np.empty((CASCADES, PIXELS), np.int64)
    for cascade in range(CASCADES):
        read.integer(PIXELS)
        anchor[cascade] = [read.integer() for _ in range(PIXELS)]
    read.integer(CASCADES)
    delta = np.empty((CASCADES, PIXELS, 2), np.float32)
    for cascade in range(CASCADES):
        read.integer(PIXELS)
        delta[cascade] = read.floats(2 * PIXELS).reshape(PIXELS, 2)
    return Trees(
        mean.astype(np.float32),
        nodes[..., 0].astype(np.int64),
        nodes[..., 1].astype(np.int64),
        nodes[..., 2].astype(np.float32),
        leaves.reshape(CASCADES, -1, 2 * POINTS),
        anchor,
        delta,
    )
