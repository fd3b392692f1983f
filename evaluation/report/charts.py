"""Histograms as inline SVG and mel spectrograms as PNG, for a page without scripts."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence

import cv2
import numpy as np

from evaluation.metrics.spectra import log_mel
from manifests.numbers import short
from manifests.page.charts import round_step

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 190, 34, 40, 10
NUM_BINS = 20
FLOOR_DB_DOWN = 80.0
CLASSES = {"griffin_lim": "other"}
PIXELS_PER_MEL = 2


def histogram(values: dict[str, Sequence[float]], title: str) -> str:
    """Counts of each system's values side by side over one axis of equal bins, as SVG."""
    everything = [v for group in values.values() for v in group]
    if not everything:
        return f'<p class="none">{html.escape(title)}: no values</p>'
    low, high = min(everything), max(everything)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts = {name: np.histogram(group, NUM_BINS, (low, high))[0] for name, group in values.items()}
    top = max(int(c.max()) for c in counts.values()) or 1
    inner, tall = WIDTH - LEFT - 8, HEIGHT - BOTTOM - TOP
    each = inner / NUM_BINS
    parts = []
    for number, (name, group) in enumerate(counts.items()):
        wide = (each - 1) / len(counts)
        for i, count in enumerate(group):
            if not count:
                continue
            height = tall * count / top
            parts.append(
                f"<rect x='{LEFT + i * each + number * wide:.1f}' "
                f"y='{TOP + tall - height:.1f}' width='{wide:.1f}' height='{height:.1f}' "
                f"class='{CLASSES.get(name, 'bar')}'>"
                f"<title>{html.escape(name)}: {count}</title></rect>"
            )
    step = round_step(high - low)
    for mark in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        x = LEFT + (mark * step - low) / (high - low) * inner
        anchor = "end" if x > WIDTH - 24 else "middle"  # the picture cuts what leaves it
        parts.append(
            f"<text x='{x:.0f}' y='{HEIGHT - BOTTOM + 15}' "
            f"text-anchor='{anchor}'>{short(mark * step)}</text>"
        )
    parts.append(f"<text x='{LEFT - 5}' y='{TOP + 9}' text-anchor='end'>{top}</text>")
    parts.append(f"<line x1='{LEFT}' x2='{WIDTH - 8}' y1='{TOP + tall}' y2='{TOP + tall}'/>")
    sizes = "   ".join(
        f"<tspan class='{CLASSES.get(name, 'bar')}'>\u25a0</tspan> "
        f"{html.escape(name.replace('_', ' '))} n = {len(v)}"
        for name, v in values.items()
    )
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{html.escape(title)}'>"
        f"{''.join(parts)}<text x='{LEFT}' y='{HEIGHT - 6}'>{sizes}</text>"
        "</svg></figure>"
    )


def spectrogram_png(sound: np.ndarray, loudest: float | None = None) -> bytes:
    """Log mel spectrogram as PNG, low tones at the bottom, one column per 10 ms.

    Float [N] at 16 kHz. 80 dB below `loudest` (natural log; default its own maximum) is black:
    give two pictures the same, and their colours mean the same.
    """
    mel = log_mel(sound).T[::-1]
    loudest = float(mel.max()) if loudest is None else loudest
    span = FLOOR_DB_DOWN / 20 * np.log(10)
    grey = np.clip((mel - loudest + span) / span, 0, 1) * 255
    tall = np.repeat(grey.astype(np.uint8), PIXELS_PER_MEL, axis=0)
    done, png = cv2.imencode(".png", cv2.applyColorMap(tall, cv2.COLORMAP_MAGMA))
    if not done:
        raise ValueError("the spectrogram could not be written as PNG")
    return png.tobytes()


def data_url(content: bytes, kind: str) -> str:
    """Bytes as an address that a page carries inside itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
