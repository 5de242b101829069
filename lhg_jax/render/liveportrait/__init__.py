"""LivePortrait as a renderer: keypoints of the portrait are moved, and networks redraw a square of it."""
