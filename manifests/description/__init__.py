"""What a corpus says of itself to readers: card, Croissant."""
