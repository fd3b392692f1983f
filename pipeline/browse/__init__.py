"""`yld browse`: a page on loopback to search, play and mark a corpus's clips."""
