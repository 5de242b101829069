"""LivePortrait's seven ONNX files in one folder, as functions of numpy arrays.

`python -m lhg_exporters liveportrait` makes them from the official files. Of other projects' files those of
FasterLivePortrait load too, where their names and shapes are those of `FASTER`; its `warping_spade` holds W
and G together.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.liveportrait.driving import Correctors
from lhg_jax.liveportrait.keypoints import Face, Points, Still, measure
from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

FILES = ("appearance", "motion", "warping", "generator", "stitching", "eye", "lip")
# Files of FasterLivePortrait: stage -> (file name, inputs by our names, outputs by our names).
FASTER = {
    "appearance": ("appearance_feature_extractor", {"image": "img"}, {"feature": "output"}),
    "motion": ("motion_extractor", {"image": "img"}, {}),
    "warping_generator": (
        "warping_spade",
        {"feature": "feature_3d", "kp_driving": "kp_driving", "kp_source": "kp_source"},
        {"image": "out"},
    ),
    "stitching": ("stitching", {"feature": "input"}, {"delta": "output"}),
    "eye": ("stitching_eye", {"feature": "input"}, {"delta": "output"}),
    "lip": ("stitching_lip", {"feature": "input"}, {"delta": "output"}),
}
OUTPUTS = {
    **{"appearance": ("feature",), "motion": ("pitch", "yaw", "roll", "t", "exp", "scale", "kp")},
    **{"warping": ("warped",), "generator": ("image",), "warping_generator": ("image",)},
    **{name: ("delta",) for name in ("stitching", "eye", "lip")},
}

Call = Callable[..., dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of one portrait animator.

    Attributes:
      calls: stage -> function of arrays by our names; either `warping` and `generator` or both in one.
    """

    calls: dict[str, Call]

    def appearance(self, crop: UInt8[np.ndarray, "256 256 3"]) -> Float[np.ndarray, "1 32 16 64 64"]:
        """The volume of features of a portrait."""
        return self.calls["appearance"](image=pixels(crop[None]))["feature"]

    def motion(self, crops: UInt8[np.ndarray, "frames 256 256 3"]) -> Face:
        """Pose, expression and keypoints of crops, one by one: published files take no more at once."""
        outputs = [self.calls["motion"](image=pixels(crop[None])) for crop in crops]
        return measure({name: np.concatenate([o[name] for o in outputs]) for name in OUTPUTS["motion"]})

    def draw(
        self, feature: np.ndarray, driving: Points, source: Still
    ) -> UInt8[np.ndarray, "frames 512 512 3"]:
        """Pictures of the square for keypoints [F, 21, 3] of frames and [1, 21, 3] of the portrait."""
        return np.concatenate([self._draw(feature, kp[None], source) for kp in driving])

    def _draw(self, feature: np.ndarray, driving: Points, source: Still) -> np.ndarray:
        arrays = {"feature": feature, "kp_driving": driving, "kp_source": source}
        arrays = {name: np.ascontiguousarray(x, np.float32) for name, x in arrays.items()}
        if "warping_generator" in self.calls:
            image = self.calls["warping_generator"](**arrays)["image"]
        else:
            image = self.calls["generator"](warped=self.calls["warping"](**arrays)["warped"])["image"]
        return np.clip(255 * image.transpose(0, 2, 3, 1), 0, 255).astype(np.uint8)

    def correctors(self) -> Correctors:
        """Stitching, eyes and lips."""

        def network(name: str) -> Callable[[np.ndarray], np.ndarray]:
            call = self.calls[name]

            def run(feature: np.ndarray) -> np.ndarray:
                rows = np.ascontiguousarray(feature, np.float32)
                return np.concatenate([call(feature=row[None])["delta"] for row in rows])

            return run

        return Correctors(network("stitching"), network("eye"), network("lip"))


def pixels(crops: UInt8[np.ndarray, "frames side side 3"]) -> Float[np.ndarray, "frames 3 side side"]:
    """RGB in [0, 1], as the networks take it."""
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def load(folder: Path | None) -> Networks:
    """The networks in a folder. Raises `UserError` naming the file that is missing or another network."""
    if folder is None:
        raise UserError(
            "--renderer-weights: LivePortrait needs the folder of its networks "
            "(`python -m lhg_exporters liveportrait` makes it, see docs/weights.md)"
        )
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (`python -m lhg_exporters liveportrait` makes it)")
    if (folder / "warping_spade.onnx").is_file():
        return Networks({name: _faster(folder, name) for name in FASTER})
    return Networks({name: _own(folder, name) for name in FILES})


def load_motion(path: Path | None) -> Call:
    """The motion extractor alone, from its file or the folder of all. Raises `UserError` without it."""
    if path is None:
        raise UserError(
            "--tracker-weights: this face tracker needs liveportrait's motion.onnx (docs/weights.md)"
        )
    if path.is_dir():
        is_faster = (path / "motion_extractor.onnx").is_file()
        return _faster(path, "motion") if is_faster else _own(path, "motion")
    return _checked(interop.load(path), "motion", {"image": "image"}, {})


def _own(folder: Path, name: str) -> Call:
    path = folder / f"{name}.onnx"
    if not path.is_file():
        raise UserError(f"{path}: missing (`python -m lhg_exporters liveportrait` makes it)")
    stage = interop.load(path)
    if stage.metadata.get("stage") != f"liveportrait_{name}":
        raise UserError(f"{path}: not LivePortrait's {name} network")
    return stage


def _faster(folder: Path, name: str) -> Call:
    file, inputs, outputs = FASTER[name]
    path = folder / f"{file}.onnx"
    if not path.is_file():
        raise UserError(f"{path}: missing beside the other files of FasterLivePortrait")
    return _checked(interop.load(path), name, inputs, outputs)


def _checked(
    stage: interop.ExternalNetwork, name: str, inputs: dict[str, str], outputs: dict[str, str]
) -> Call:
    """A foreign file under our names. Raises `UserError` where it is another network."""
    wanted = {ours: outputs.get(ours, ours) for ours in OUTPUTS[name]}
    if set(stage.inputs) != set(inputs.values()) or not set(wanted.values()) <= set(stage.outputs):
        raise UserError(
            f"{stage.name}: not LivePortrait's {name} network (takes {list(stage.inputs)}, "
            f"gives {list(stage.outputs)})"
        )

    def call(**arrays: np.ndarray) -> dict[str, np.ndarray]:
        found = stage(**{inputs[ours]: array for ours, array in arrays.items()})
        return {ours: found[theirs] for ours, theirs in wanted.items()}

    return call
