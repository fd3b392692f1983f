"""SyncNet in training: multi-way over time steps, or the contrastive loss of 2016."""
