"""LivePortrait's own terms: keypoints, driving, sliders, its square of the picture, its ONNX files.

Guo et al., *LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control*, arXiv
2407.03168. The tracker (`faces/liveportrait.py`) and the renderer (`render/liveportrait/`) speak them.
"""
