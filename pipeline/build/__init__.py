"""The main job: what a build does around its run, and what it publishes."""
