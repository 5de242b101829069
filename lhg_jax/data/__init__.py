"""Clips on disk, synthetic dyads, and the pipeline that turns them into batches."""
