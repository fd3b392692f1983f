"""Corpora as their owners distribute them: one module each, `catalogue` is the table of them."""
