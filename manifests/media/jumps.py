"""Clocks that jump, and stamps that stand alone.

A stamp that is far from those around it says nothing about its picture, which is placed between
its neighbours. Where the clocks of picture and sound jump together (a recording put together from
parts, a lost stretch of a broadcast) the second part is shifted to follow the first, by one amount
for both, so that nothing is lost and they stay in sync. Where only one of them jumps nobody can
know what belongs together: the file is refused, with the time and the size of the jump.

A long step of one of them through which the other goes on is no jump: a picture that is held
(slides), or silence. Without that witness at most `STEP_US` is held.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from manifests.media.streams import MediaError
from manifests.media.times import STEP_US, Repairs, Track, typical_us
from manifests.numbers import number

BACK_US = 100_000
"""What a clock may go back: rounding, and packets that overlap."""
ALONE_BACK_US = 500_000
"""What one clock may go back by itself: pictures come too late to be shown, sound is cut."""
FEW = 3
"""At most this many stamps in a row are odd ones; more are a part of its own."""
LOOK_AHEAD = 6
TOGETHER_US = 3_000_000
"""Most that the jumps of picture and sound may differ by, as parts do not end at once."""
NEAR_US = 5_000_000
"""Most that they may lie apart."""
MAX_REPAIRS = 256


@dataclass(frozen=True)
class Step:
    """A place where a clock does not go on: item `index` at `to_us` follows `from_us`."""

    index: int
    from_us: int
    to_us: int
    size_us: int
    is_jump: bool


def find(pictures: Sequence[tuple[int | None, int | None]], sound: Track) -> Repairs:
    """What a clock needs. `pictures`: (pts, dts) in us in the order of output.

    Raises MediaError (clock_jump).
    """
    seen = [dts if pts is None else pts for pts, dts in pictures]
    heard = [
        dts if pts is None else pts for pts, dts in zip(sound.pts_us, sound.dts_us, strict=True)
    ]
    picture_us = typical_us(_differences(seen))
    packet_us = typical_us([d for d in sound.duration_us if d] or _differences(heard), 20_000)
    seen_steps, odd = steps(seen, picture_us, _witness(heard))
    heard_steps, _ = steps(heard, packet_us, _witness(seen))
    unstamped = next((i for i, t in enumerate(seen) if t is not None), 0)
    odd = [*range(unstamped), *odd]  # later ones follow the picture before them
    pairs = _pairs(seen_steps, heard_steps, seen)
    if len(pairs) + len(odd) > MAX_REPAIRS:
        raise MediaError(
            "clock_jump",
            f"{len(pairs)} jumps of the clock and {len(odd)} stamps that are off",
            len(pairs) + len(odd),
            MAX_REPAIRS,
        )
    shifts, shift = [], 0
    for picture, packet in pairs:
        shift = max(
            picture.from_us + shift + picture_us - picture.to_us,
            packet.from_us + shift + packet_us - packet.to_us,
        )
        shift = -(-shift // 1000) * 1000  # whole ticks of every container
        shifts.append(shift)
    starts = tuple(p.index for p, _ in pairs)
    return Repairs(
        starts,
        tuple(s.index for _, s in pairs),
        tuple(shifts),
        *_mended(seen, odd, starts, shifts, picture_us),
    )


def steps(
    times: Sequence[int | None], period_us: int, is_held: Callable[[int, int], bool]
) -> tuple[list[Step], list[int]]:
    """Where a clock does not go on, and the items whose stamps stand alone."""

    def follows(before: int, after: int) -> bool:
        step = after - before
        return -BACK_US <= step <= STEP_US or (step > 0 and is_held(before, after))

    found: list[Step] = []
    odd: list[int] = []
    kept: list[tuple[int, int]] = []  # (index, time) of the part that is being read
    for index, time in enumerate(times):
        if time is None:
            continue
        if not kept or follows(kept[-1][1], time):
            _note(found, kept, index, time, period_us)
            kept.append((index, time))
            continue
        last = kept[-1][1]
        late = next(
            (n for n in range(1, FEW + 1) if len(kept) > n and follows(kept[-1 - n][1], time)), None
        )
        ahead = [t for t in times[index + 1 : index + 1 + LOOK_AHEAD] if t is not None]
        if late is not None and _goes_on(time, ahead[:late], follows):
            for alone, _ in kept[-late:]:  # it was the stamps before this one that stood alone
                odd.append(alone)
                found[:] = [s for s in found if s.index != alone]
            del kept[-late:]
            _note(found, kept, index, time, period_us)
            kept.append((index, time))
        elif (
            any(t - last >= 0 and follows(last, t) for t in ahead[:FEW])
            or len(ahead) < FEW
            or not _goes_on(time, ahead[:FEW], follows)
        ):
            odd.append(index)
        else:
            if len(kept) <= FEW and not any(s.is_jump for s in found):
                odd += [alone for alone, _ in kept]  # the file begins with stamps that stand alone
                found.clear()
            else:
                found.append(Step(index, last, time, time - last - period_us, True))
            kept = [(index, time)]
    return found, sorted(odd)


def _note(
    found: list[Step], kept: list[tuple[int, int]], index: int, time: int, period_us: int
) -> None:
    """A step inside a part that may belong to a jump of the other clock."""
    if kept:
        last = kept[-1][1]
        size = time - last - period_us
        if abs(size) > ALONE_BACK_US:
            found.append(Step(index, last, time, size, False))


def _goes_on(time: int, ahead: Sequence[int], follows: Callable[[int, int], bool]) -> bool:
    for after in ahead:
        if not follows(time, after):
            return False
        time = after
    return True


def _witness(times: Sequence[int | None]) -> Callable[[int, int], bool]:
    """Whether a clock goes on all the way between two times."""
    ordered = sorted(t for t in times if t is not None)

    def goes_on(before: int, after: int) -> bool:
        low, high = bisect_left(ordered, before), bisect_left(ordered, after)
        way = [before, *ordered[low:high], after]
        return all(b - a <= STEP_US for a, b in zip(way, way[1:], strict=False))

    return goes_on


def must_be_bounded(times_us: Sequence[int], sound: Track, repairs: Repairs) -> None:
    """No picture is held for over 10 s unless the sound goes on. Raises MediaError (clock_jump)."""
    begins, shift, heard = dict(zip(repairs.packets, repairs.shifts_us, strict=True)), 0, []
    for index, (pts, dts) in enumerate(zip(sound.pts_us, sound.dts_us, strict=True)):
        shift = begins.get(index, shift)
        time = dts if pts is None else pts
        if time is not None:
            heard.append(time + shift)
    goes_on, ordered = _witness(heard), sorted(times_us)
    for before, after in zip(ordered, ordered[1:], strict=False):
        if after - before > STEP_US and not goes_on(before, after):
            raise MediaError(
                "clock_jump",
                f"nothing is stamped between {before / 1e6:.3f} and {after / 1e6:.3f} s",
                (after - before) / 1e6,
                STEP_US / 1e6,
            )


def _pairs(
    seen: list[Step], heard: list[Step], pictures: Sequence[int | None]
) -> list[tuple[Step, Step]]:
    """The jumps that picture and sound make together. Raises MediaError for one made alone."""
    pairs, rest = [], list(heard)
    for step in seen:
        mate = next(
            (
                s
                for s in rest
                if abs(s.from_us - step.from_us) <= NEAR_US
                and abs(s.size_us - step.size_us) <= TOGETHER_US
                and (step.is_jump or s.is_jump)
            ),
            None,
        )
        if mate is not None:
            pairs.append((step, mate))
            del rest[: rest.index(mate) + 1]
        elif step.is_jump and not -ALONE_BACK_US <= step.size_us < 0:
            raise _jump("picture", "sound", step)
    used = {id(mate) for _, mate in pairs}
    for step in heard:
        if step.is_jump and id(step) not in used and not -ALONE_BACK_US <= step.size_us < 0:
            raise _jump("sound", "picture", step)
    return pairs


def _jump(what: str, other: str, step: Step) -> MediaError:
    return MediaError(
        "clock_jump",
        f"the clock of the {what} jumps by {number(step.size_us / 1e6, 3, True)} s at "
        f"{step.from_us / 1e6:.3f} s and that of the {other} does not, so that nobody can tell "
        "what belongs together",
        step.size_us / 1e6,
        STEP_US / 1e6,
    )


def _mended(seen, odd, starts, shifts, picture_us) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The odd pictures, and their times between their neighbours on the mended clock."""
    if not odd:
        return (), ()
    known, shift, are_odd = {}, 0, set(odd)
    begins = dict(zip(starts, shifts, strict=True))
    for index, time in enumerate(seen):
        shift = begins.get(index, shift)
        if time is not None and index not in are_odd:
            known[index] = time + shift
    places = sorted(known)
    times = []
    for index in odd:
        right = bisect_left(places, index)
        if right == 0:
            times.append(known[places[0]] - (places[0] - index) * picture_us)
        elif right == len(places):
            times.append(known[places[-1]] + (index - places[-1]) * picture_us)
        else:
            low, high = places[right - 1], places[right]
            share = (index - low) / (high - low)
            times.append(known[low] + round(share * (known[high] - known[low])))
    return tuple(odd), tuple(times)


def _differences(times: Sequence[int | None]) -> list[int]:
    known = [t for t in times if t is not None]
    return [b - a for a, b in zip(known, known[1:], strict=False)]
