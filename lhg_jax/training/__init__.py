"""One training step, its state and layout on devices, checkpoints, and the loop around them."""
