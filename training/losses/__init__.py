"""Losses: pure functions of tensors, each with the value that stands for "nothing wrong"."""
