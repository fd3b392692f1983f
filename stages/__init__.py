"""The steps of the main job. Each takes typed records and returns outcomes; none knows Ray."""
