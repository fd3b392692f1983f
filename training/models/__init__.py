"""One folder a model: its system, its examples, its recipe."""
