"""Examples of different lengths as one batch, with lengths and masks, and without padding again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.data.mixture import Row

Value = np.ndarray | np.generic | float | int | bool | str
Example = Mapping[str, Value]
Collated = dict[str, "np.ndarray | list[str]"]
RESERVED = ("key", "corpus", "position", "is_padding")


def collate(rows: Sequence[Row], keys: Sequence[str], examples: Sequence[Example]) -> Collated:
    """One example a row, stacked by name.

    An array [T, ...] becomes [R, longest T, ...], zeros behind its end, with NAME_length int64 [R]
    and NAME_mask bool [R, longest T]; a number becomes [R] and a text a list. Beside them stand
    `key` (list), `corpus` and `position` (int64 [R]) and `is_padding` (bool [R]). Padding rows have
    the content of real samples, so that no network meets an empty row; `without_padding` drops
    them. Raises ValueError naming the sample whose example does not fit the others.
    """
    made: Collated = {
        "key": list(keys),
        "corpus": np.array([row.corpus for row in rows], np.int64),
        "position": np.array([row.position for row in rows], np.int64),
        "is_padding": np.array([row.is_padding for row in rows], bool),
    }
    for key, example in zip(keys, examples, strict=True):
        if set(example) != set(examples[0]) or set(example) & set(RESERVED):
            raise ValueError(
                f"{key} was decoded to {sorted(example)}, {keys[0]} to {sorted(examples[0])}: all "
                f"must have the same names, and none of {', '.join(RESERVED)}"
            )
    for name in examples[0]:
        column = [example[name] for example in examples]
        if any(isinstance(value, str) for value in column):
            made[name] = [str(value) for value in column]
        else:
            made |= _stacked(name, keys, [np.asarray(value) for value in column])
    return made


def _stacked(name: str, keys: Sequence[str], arrays: Sequence[np.ndarray]) -> Collated:
    first = arrays[0]
    for key, array in zip(keys, arrays, strict=True):
        if array.ndim != first.ndim or array.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{name} of {key} is {list(array.shape)}, of {keys[0]} {list(first.shape)}: only "
                "the first dimension may differ"
            )
        if array.dtype != first.dtype:
            raise ValueError(f"{name} of {key} is {array.dtype}, of {keys[0]} {first.dtype}")
    if first.ndim == 0:
        return {name: np.stack(arrays)}
    lengths = np.array([len(array) for array in arrays], np.int64)
    longest = int(lengths.max())
    batch = np.zeros((len(arrays), longest, *first.shape[1:]), first.dtype)
    for place, array in zip(batch, arrays, strict=True):
        place[: len(array)] = array
    mask = np.arange(longest) < lengths[:, None]
    return {name: batch, f"{name}_length": lengths, f"{name}_mask": mask}


def without_padding(batch: Mapping) -> dict:
    """A batch (of arrays, tensors and lists) without the rows that only fill it: what sums, means
    and lists of an evaluation are to be made of. It may have no row at all."""
    is_real = [not padding for padding in batch["is_padding"].tolist()]
    kept = [row for row, real in enumerate(is_real) if real]
    return {
        name: [column[row] for row in kept] if isinstance(column, list) else column[kept]
        for name, column in batch.items()
    }
