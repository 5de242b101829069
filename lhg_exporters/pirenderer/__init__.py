"""PIRenderer's networks, under the keys of its official checkpoint."""
