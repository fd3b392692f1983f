"""What is done to a built corpus: verify, report, clean."""
