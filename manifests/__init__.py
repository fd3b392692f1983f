"""What is known about a corpus: records, their tables, ids, the clock and media access.

Everything may import this package; it imports nothing else of ours.
"""
