"""`yld evaluate`: utterances to workers, rows to tables."""
