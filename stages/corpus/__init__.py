"""What belongs to a corpus and not to a video: speakers, shards."""
