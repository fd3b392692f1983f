"""Scoring of generated speech and video; of `stages` it imports the networks alone."""
