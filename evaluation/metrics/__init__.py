"""Metrics as pure functions on arrays: no Ray, no files. The reference is always the first.

Sound is float [N] at 16 kHz, mono, in [-1, 1]. What cannot be scored raises a `NoScore`, whose
`status` says why; no function returns a number in place of a score.
"""
