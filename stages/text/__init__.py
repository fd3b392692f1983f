"""What is said in a clip: transcripts beside sources, chosen and cut."""
