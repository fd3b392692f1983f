"""Exchangeable parts (detector, landmarker, embedder, estimator, chooser), chosen by name."""
