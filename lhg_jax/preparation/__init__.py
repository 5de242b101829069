"""From recordings, published data sets and the simulator to clips on disk."""
