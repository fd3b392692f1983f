"""Layers that several models are built from; each knows shapes and nothing of data or training."""
