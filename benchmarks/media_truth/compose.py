"""Writes a recipe: encodes picture by picture, and muxes packets with the stamps it wants."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from benchmarks.media_truth.counter import ORIENTATIONS, draw
from benchmarks.media_truth.marks import samples
from benchmarks.media_truth.recipe import Recipe, Sound

FIXED_RATE = frozenset(
    {"mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "flv", "h263", "wmv2", "dvvideo"}
)
"""Encoders that know no time base but one over the rate."""
FINE = Fraction(1, 90_000)
MILLISECONDS = frozenset({"matroska", "webm", "flv"})


def compose(recipe: Recipe, folder: Path, name: str) -> Path:
    """Write `recipe` to `folder`; the path of the file that its last step gives."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name + recipe.suffix)
    _write(recipe, path)
    for step in recipe.steps:
        path = step(path)
    return path


def _write(recipe: Recipe, path: Path) -> None:
    with av.open(str(path), "w", format=recipe.container, options=recipe.options) as out:
        cover = _add_cover(out) if recipe.cover == "first" else None
        audio = [_add_sound(out, s) for s in recipe.sounds] if recipe.sound_first else []
        video = _add_video(out, recipe)
        audio = audio or [_add_sound(out, s) for s in recipe.sounds]
        cover = _add_cover(out) if recipe.cover == "last" else cover
        packets = list(_video_packets(video, recipe))
        for stream, sound in zip(audio, recipe.sounds, strict=True):
            packets += _sound_packets(stream, sound, recipe)
        for packet in packets:
            _shift(packet, recipe)
        packets.sort(key=lambda p: _seconds(p, p.pts if p.dts is None else p.dts))
        if cover is not None:
            packets.insert(0, _cover_packet(cover))
        for packet in packets:
            out.mux(packet)


def _seconds(packet: av.Packet, stamp: int | None) -> Fraction:
    """A stamp of an encoder's packet as time. Raises ValueError if it has none."""
    if stamp is None:
        raise ValueError(f"an encoder gave {packet} without a time")
    return stamp * packet.time_base


def _add_video(out, recipe: Recipe):
    stream = out.add_stream(recipe.codec, rate=recipe.rate, options=dict(recipe.codec_options))
    _set_up(stream.codec_context, recipe, recipe.size)
    return stream


def _set_up(context, recipe: Recipe, size: tuple[int, int]) -> None:
    context.width, context.height = size
    context.pix_fmt = recipe.pixel_format
    if recipe.codec not in FIXED_RATE:
        context.time_base = _ticks(recipe)
    for name, value in recipe.stream_settings.items():
        setattr(context, name, value)


def _ticks(recipe: Recipe) -> Fraction:
    if recipe.ticks is not None:
        return recipe.ticks
    if recipe.container in MILLISECONDS:
        return Fraction(1, 1000)
    if recipe.container in ("avi", "asf"):
        return 1 / recipe.rate
    return Fraction(1, 90_000) if recipe.uneven_ms else 1 / (recipe.rate * 8)


def _add_sound(out, sound: Sound):
    stream = out.add_stream(
        sound.codec, rate=sound.rate_hz, layout=sound.layout_name, options=dict(sound.options)
    )
    marks = Disposition(0)
    for name in sound.marks:
        marks |= Disposition[name]
    stream.disposition = marks
    if sound.language:
        stream.metadata["language"] = sound.language
    return stream


def _add_cover(out):
    stream = out.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 320, 320, "yuvj420p"
    stream.disposition = Disposition.attached_pic
    return stream


def _cover_packet(stream: av.VideoStream) -> av.Packet:
    """A still that shows no number."""
    picture = np.full((320, 320, 3), (90, 120, 150), np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    (packet,) = [*stream.encode(frame), *stream.encode(None)]
    packet.stream = stream
    return packet


def _video_packets(stream, recipe: Recipe) -> Iterator[av.Packet]:
    changes = [*recipe.later_sizes, (float("inf"), (0, 0))]
    context, size = stream.codec_context, recipe.size
    convert = VideoReformatter()
    for number, time in enumerate(recipe.times_s(), recipe.first_number):
        if time >= changes[0][0]:
            yield from _of(stream, context.encode(None))
            size = changes.pop(0)[1]
            context = av.CodecContext.create(recipe.codec, "w")
            if not isinstance(context, av.VideoCodecContext):
                raise ValueError(f"{recipe.codec} is no codec of pictures")
            context.options = dict(recipe.codec_options)
            context.framerate = recipe.rate
            _set_up(context, recipe, size)
        yield from _of(stream, context.encode(_frame(recipe, context, convert, number, time, size)))
    yield from _of(stream, context.encode(None))


def _of(stream, packets) -> Iterator[av.Packet]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _frame(
    recipe: Recipe,
    context,
    convert: VideoReformatter,
    number: int,
    time: Fraction,
    size: tuple[int, int],
) -> av.VideoFrame:
    coded = ORIENTATIONS[recipe.coded_as]
    width, height = size
    turned = coded(np.empty((height, width))).shape
    picture = coded(draw(number, float(time), turned[1], turned[0]))
    full = "yuvj" in recipe.pixel_format or recipe.stream_settings.get("color_range") == 2
    frame = convert.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
        format=recipe.pixel_format,
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
    )
    frame.time_base = Fraction(context.time_base or 1 / recipe.rate)
    frame.pts = round(time / frame.time_base)
    frame.pict_type = 0
    return frame


def _sound_packets(stream, sound: Sound, recipe: Recipe) -> Iterator[av.Packet]:
    context = stream.codec_context
    context.open()
    end_s = recipe.start_s + recipe.seconds if sound.end_s is None else sound.end_s
    count = round((end_s - sound.start_s) * sound.rate_hz)
    wave = samples(sound.start_s, count, sound.rate_hz, sound.seed)
    channels = np.round(np.outer(sound.gains, wave) * 32767).astype(np.int16)
    first, size = round(sound.start_s * sound.rate_hz), context.frame_size or 1024
    resampler = av.AudioResampler(context.format, sound.layout_name, sound.rate_hz)
    for start in range(0, count, size):
        block = channels[:, start : start + size]
        # Packed and by hand: PyAV's own way from an array knows no more than eight channels.
        frame = av.AudioFrame("s16", sound.layout_name, block.shape[1])
        content = block.T.tobytes()
        frame.planes[0].update(content + bytes(frame.planes[0].buffer_size - len(content)))
        frame.sample_rate, frame.pts = sound.rate_hz, first + start
        frame.time_base = Fraction(1, sound.rate_hz)
        for piece in resampler.resample(frame):
            piece.pts, piece.time_base = first + start, Fraction(1, sound.rate_hz)
            yield from _heard(stream, sound, context.encode(piece))
    yield from _heard(stream, sound, context.encode(None))


def _heard(stream, sound: Sound, packets) -> Iterator[av.Packet]:
    for packet in packets:
        time_s = _seconds(packet, packet.pts)
        if not any(a <= time_s < b for a, b in sound.lost_s):
            packet.stream = stream
            yield packet


def _shift(packet: av.Packet, recipe: Recipe) -> None:
    time_s = _seconds(packet, packet.pts)
    for shift in recipe.shifts:
        if packet.stream.type in shift.kinds and shift.from_s <= time_s < shift.to_s:
            scale = packet.time_base / FINE
            packet.pts = round(_seconds(packet, packet.pts) / FINE + shift.add_s / FINE)
            if packet.dts is not None:
                packet.dts = round(packet.dts * scale + shift.decoding_too * shift.add_s / FINE)
            packet.duration = round((packet.duration or 0) * scale)
            packet.time_base = FINE
