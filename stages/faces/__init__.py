"""From a video to faces followed in it: cuts, tracklets, tracks, identity, registration."""
