"""RVRT's networks, under the keys of its official checkpoints."""
