"""LivePortrait: keypoints of the portrait are moved, and networks redraw a square of it (Guo et al., 2024)."""
