"""From an argument to a video in hand: lists, layouts, links, downloads, streams."""
