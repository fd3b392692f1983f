"""Media on the canonical clock: streams, times, pictures, sound, encoding."""
