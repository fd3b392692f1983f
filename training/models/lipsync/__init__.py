"""The synchrony models: towers, and linear maps as their baseline."""
