"""Weight files: which there are, where they come from, their cache."""
