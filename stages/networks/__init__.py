"""Networks that a stage runs and training trains or evaluation scores: they exist once, here."""
