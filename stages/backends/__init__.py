"""Exchangeable parts (detector, landmarker, embedder), chosen by name."""
