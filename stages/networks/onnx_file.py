"""Small ONNX graphs, written as bytes for onnxruntime: what is read from other files runs there.

The fields and their numbers are those of onnx.proto (IR version 8, operator set 13); only what
the networks here need is written. Nothing of this touches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IR_VERSION, OPERATOR_SET = 8, 13
TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written in two's complement of 64 bits
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(content)) + content


class Graph:
    """Nodes in the order they run; every value has a name, which `add` and `constant` give."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._count = 0

    def constant(self, array: np.ndarray) -> str:
        """Name of an array of float32, uint8 or int64."""
        array = np.ascontiguousarray(array)
        name = self._name()
        dims = b"".join(_number(1, length) for length in array.shape)
        kind = _number(2, TYPES[array.dtype])
        self._constants.append(dims + kind + _bytes(8, name) + _bytes(9, array.tobytes()))
        return name

    def add(self, operator: str, *inputs: str, **attributes: int | Sequence[int]) -> str:
        """Name of what `operator` makes of its inputs."""
        name = self._name()
        parts = [_bytes(1, value) for value in inputs]
        parts += [_bytes(2, name), _bytes(4, operator)]
        parts += [_bytes(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(b"".join(parts))
        return name

    def model(self, inputs: dict[str, Sequence[int | str]], outputs: Sequence[str]) -> bytes:
        """The whole file. `inputs` of float32 with their shapes, where a word stands for any
        length; `outputs` are names that `add` gave."""
        graph = b"".join(_bytes(1, node) for node in self._nodes) + _bytes(2, "graph")
        graph += b"".join(_bytes(5, constant) for constant in self._constants)
        graph += b"".join(_bytes(11, _value(name, shape)) for name, shape in inputs.items())
        graph += b"".join(_bytes(12, _bytes(1, name)) for name in outputs)
        return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, OPERATOR_SET))

    def _name(self) -> str:
        self._count += 1
        return f"v{self._count}"


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    return _bytes(1, name) + b"".join(_number(8, v) for v in value) + _number(20, 7)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(
        _bytes(1, _number(1, length) if isinstance(length, int) else _bytes(2, length))
        for length in shape
    )
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, dims)))
