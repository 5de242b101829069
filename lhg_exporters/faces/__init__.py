"""Networks of trackers and of face identity, under the keys of their official checkpoints."""
