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
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

Row = TypeVar("Row")


class Rows(Sequence[Row], Generic[Row]):
    """A sequence that gives its rows by `at`; a slice of it is a view."""

    def at(self, place: int) -> Row:
        """The row of a number from 0 up."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Row]:
        return map(self.at, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        count = len(self)
        if isinstance(index, slice):
            return Picked(self, range(*index.indices(count)))
        place = index + count if index < 0 else index
        if not 0 <= place < count:
            raise IndexError(f"row {index} of {count}")
        return self.at(place)


class Picked(Rows[Row]):
    """Some of `rows`, by number and in this order."""

    def __init__(self, rows: Sequence[Row], numbers: Sequence[int]) -> None:
        self._rows, self._numbers = rows, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def at(self, place: int) -> Row:
        return self._rows[self._numbers[place]]


class Made(Rows[Row]):
    """Rows that `make` gives by number when they are asked for."""

    def __init__(self, count: int, make: Callable[[int], Row]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def at(self, place: int) -> Row:
        return self._make(place)


class Texts(Rows[str]):
    """Texts one after the other in one buffer."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("Q", [0])

    def append(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, place: int) -> str:
        own = self._bytes[self._ends[place] : self._ends[place + 1]]
        return own.decode("utf-8", "surrogatepass")


class SharedTexts(Rows[str]):
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

    def at(self, place: int) -> str:
        return self._texts[self._numbers[place]]


class _Numbers(Rows[Any]):
    """Whole numbers or decimals, 8 bytes each."""

    def __init__(self, code: str) -> None:
        self._values: array[Any] = array(code)

    def append(self, value: float) -> None:
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def at(self, place: int) -> Any:
        return self._values[place]


class _Nullable(Rows[Any]):
    """A column in which some values are None."""

    def __init__(self, column: Any, blank: Any) -> None:
        self._column, self._blank, self._is_there = column, blank, bytearray()

    def append(self, value: Any) -> None:
        self._is_there.append(value is not None)
        self._column.append(self._blank if value is None else value)

    def __len__(self) -> int:
        return len(self._is_there)

    def at(self, place: int) -> Any:
        return self._column.at(place) if self._is_there[place] else None


class Columns(Rows[Row]):
    """Records of `kind`, of texts and numbers alone. `shared` names the texts that many rows have
    in common. Raises TypeError for a field that is neither text nor number."""

    def __init__(self, kind: type[Row], shared: Collection[str], rows: Iterable[Row] = ()) -> None:
        self.kind = kind
        hints = typing.get_type_hints(kind)
        names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
        self._columns = {name: _column(hints[name], name in shared) for name in names}
        self._appends = [(name, column.append) for name, column in self._columns.items()]
        self._gets = [column.at for column in self._columns.values()]
        self.extend(rows)

    def append(self, row: Row) -> None:
        for name, append in self._appends:
            append(getattr(row, name))

    def extend(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.append(row)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def at(self, place: int) -> Row:
        return self.kind(*[get(place) for get in self._gets])

    def column(self, name: str) -> Sequence[Any]:
        """The values of a field, in the order of the rows."""
        return typing.cast(Sequence[Any], self._columns[name])


def values_of(rows: Sequence[Any], name: str) -> Iterable[Any]:
    """The values of a field of `rows`, without making records where these are columns."""
    if isinstance(rows, Columns):
        return rows.column(name)
    return (getattr(row, name) for row in rows)


def sorted_index(texts: Sequence[str], text: str) -> int | None:
    """Where `text` stands in sorted `texts`; None where it does not."""
    place = bisect_left(texts, text)
    return place if place < len(texts) and texts[place] == text else None


def _column(hint: Any, is_shared: bool) -> Any:
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) in (types.UnionType, typing.Union) and len(args) == 1:
        blank = {str: "", int: 0, float: 0.0}.get(args[0])
        return _Nullable(_column(args[0], is_shared), blank)
    if hint is str:
        return SharedTexts() if is_shared else Texts()
    if hint in (int, float):
        return _Numbers("q" if hint is int else "d")
    raise TypeError(f"no column for {hint!r}")
