"""What is said: captions, alignments, spoken words, read from files."""
