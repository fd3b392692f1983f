"""From corpora to batches: numbered samples, their order, its state, a loader."""
