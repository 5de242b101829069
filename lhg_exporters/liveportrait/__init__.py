"""LivePortrait's networks, under the keys of its official checkpoints.

Guo et al., *LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control*, arXiv
2407.03168. Code and weights are MIT.
"""

SOURCE = "LivePortrait (Guo et al., arXiv 2407.03168), github.com/KlingAIResearch/LivePortrait"
LICENCE = "MIT"
KEYPOINTS = 21
CHANNELS, DEPTH = 32, 16  # of the appearance volume
EPSILON = 1e-5  # added to the variance in batch and instance norms
