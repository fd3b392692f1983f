"""Scoring of generated speech and video; imports neither `stages` nor `training`."""
