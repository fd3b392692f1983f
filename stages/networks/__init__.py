"""Networks that a stage runs and training trains or evaluation scores: they exist once, here."""

from pathlib import Path

LIPSYNC_WEIGHTS = Path(__file__).parent / "weights" / "lipsync.safetensors"
"""Here, so that a run can tell which weights it uses without waiting for torch."""
