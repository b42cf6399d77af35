"""Runs plans: threads, shards, the fixed tree over shards, predictions and training steps."""
