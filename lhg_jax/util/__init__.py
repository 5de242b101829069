"""Plumbing of every stage: atomic files, one-line errors, progress, workers, outside networks."""
