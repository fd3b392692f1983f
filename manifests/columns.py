"""Many records of one kind in memory as columns: a tenth of what as many objects take.

Numbers stand in arrays, texts of their own one after the other in one buffer, and texts that many
rows share once each. A record is made when it is asked for.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

Row = TypeVar("Row")


class Texts(Sequence[str]):
    """Texts one after the other in one buffer."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("Q", [0])

    def append(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = _place(index, len(self))
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode(
            "utf-8", "surrogatepass"
        )


class SharedTexts(Sequence[str]):
    """Texts of which many are the same."""

    def __init__(self) -> None:
        self._numbers, self._of, self._texts = array("I"), dict[str, int](), list[str]()

    def append(self, text: str) -> None:
        number = self._of.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._texts[number] for number in self._numbers[index]]
        return self._texts[self._numbers[index]]


class _Nullable(Sequence[Any]):
    """A column in which some values are None."""

    def __init__(self, column: Any, blank: Any) -> None:
        self._column, self._blank, self._is_there = column, blank, bytearray()

    def append(self, value: Any) -> None:
        self._is_there.append(value is not None)
        self._column.append(self._blank if value is None else value)

    def __len__(self) -> int:
        return len(self._is_there)

    def __getitem__(self, index: Any) -> Any:
        return self._column[index] if self._is_there[index] else None


class Columns(Sequence[Row], Generic[Row]):
    """Records of `kind`, of texts and numbers alone. `shared` names the texts that many rows have
    in common. Raises TypeError for a field that is neither text nor number."""

    def __init__(self, kind: type[Row], shared: Collection[str], rows: Iterable[Row] = ()) -> None:
        self.kind, self.shared = kind, frozenset(shared)
        hints = typing.get_type_hints(kind)
        names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
        self._columns = {name: _column(hints[name], name in self.shared) for name in names}
        self._appends = [(name, column.append) for name, column in self._columns.items()]
        self.extend(rows)

    def append(self, row: Row) -> None:
        for name, append in self._appends:
            append(getattr(row, name))

    def extend(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return Picked(self, range(*index.indices(len(self))))
        place = _place(index, len(self))
        return self.kind(*[column[place] for column in self._columns.values()])

    def column(self, name: str) -> Sequence[Any]:
        """The values of a field, in the order of the rows."""
        return typing.cast(Sequence[Any], self._columns[name])


class Picked(Sequence[Row], Generic[Row]):
    """Some of `rows`, by number and in this order."""

    def __init__(self, rows: Sequence[Row], numbers: Sequence[int]) -> None:
        self._rows, self._numbers = rows, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return Picked(self._rows, self._numbers[index])
        return self._rows[self._numbers[index]]


class Made(Sequence[Row], Generic[Row]):
    """Rows that `make` gives by number when they are asked for."""

    def __init__(self, count: int, make: Callable[[int], Row]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return Picked(self, range(*index.indices(self._count)))
        return self._make(_place(index, self._count))


def values_of(rows: Sequence[Any], name: str) -> Iterable[Any]:
    """The values of a field of `rows`, without making records where these are columns."""
    if isinstance(rows, Columns):
        return rows.column(name)
    return (getattr(row, name) for row in rows)


def sorted_index(texts: Sequence[str], text: str) -> int | None:
    """Where `text` stands in sorted `texts`; None where it does not."""
    place = bisect_left(texts, text)
    return place if place < len(texts) and texts[place] == text else None


def numbers_from(values: Iterable[int]) -> array[int]:
    """Whole numbers, 8 bytes each."""
    return array("q", values)


def _place(index: int, count: int) -> int:
    place = index + count if index < 0 else index
    if not 0 <= place < count:
        raise IndexError(f"row {index} of {count}")
    return place


def _column(hint: Any, is_shared: bool) -> Any:
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) in (types.UnionType, typing.Union) and len(args) == 1:
        blank = {str: "", int: 0, float: 0.0}.get(args[0])
        return _Nullable(_column(args[0], is_shared), blank)
    if hint is str:
        return SharedTexts() if is_shared else Texts()
    if hint in (int, float):
        return array("q" if hint is int else "d")
    raise TypeError(f"no column for {hint!r}")
