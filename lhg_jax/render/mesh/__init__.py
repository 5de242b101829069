"""The default renderer: the portrait itself on a mesh of the head, warped in 3-D."""
