"""Training, from the shards that `yld build` writes."""
