"""The trunk's mean and state over a set of clips, computed once and kept beside the run."""

import dataclasses
import hashlib
import json
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from lhg_jax.data.records import RecordSource
from lhg_jax.generative import run_trunk, stateful
from lhg_jax.listener_checkpoint import ListenerModel
from lhg_jax.motion import Motion
from lhg_jax.styles import CODE_SIZE, style_table, traits_of
from lhg_jax.util.atomic import replacing
from lhg_jax.util.progress import console

ARRAYS = ("state", "mean", "target", "seen")
INDEX = "index.json"  # written last: a folder that has one is complete


@dataclasses.dataclass(frozen=True)
class TrunkFeatures:
    """All frames of all clips one after the other.

    Attributes:
      starts: [N + 1] first frame of each clip, and the end.
      state: [F, S] float16 recurrent state of the trunk.
      mean: [F, C] the trunk's motion.
      target: [F, C] the true listener's.
      seen: [F] bool, the true listener was tracked there.
      codes: [N, CODE_SIZE] style of each clip.
    """

    starts: Int[np.ndarray, "clips_and_end"]
    state: Float[np.ndarray, "frames state"]
    mean: Float[np.ndarray, "frames coeff"]
    target: Float[np.ndarray, "frames coeff"]
    seen: Bool[np.ndarray, "frames"]
    codes: Float[np.ndarray, "clips code"]

    def __len__(self) -> int:
        return len(self.codes)


def trunk_features(
    folder: Path, trunk: ListenerModel, trunk_file: Path, source: RecordSource, unseen: float = 0.0
) -> TrunkFeatures:
    """Reads `folder`, or fills it where it is of another trunk or other clips.

    Args:
      folder: of the arrays.
      trunk, trunk_file: the listener and its file.
      source: clips.
      unseen: share of the clips whose speaker the trunk only hears.
    """
    mark = f"{fingerprint(trunk_file, trunk, source)} {unseen}"
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        index = {}
    if index.get("mark") != mark:
        fill(folder, trunk, source, mark, unseen)
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    return TrunkFeatures(np.array(index["starts"]), **arrays, codes=np.load(folder / "codes.npy"))


def fingerprint(trunk_file: Path, trunk: ListenerModel, source: RecordSource) -> str:
    """Changes with the trunk's weights, the clips and the windows in which the trunk hears them."""
    digest = hashlib.sha256(trunk_file.read_bytes())
    spec = trunk.inference
    windows = [spec.window, spec.overlap, spec.max_words]
    digest.update(json.dumps([source.metadata.keys, *windows]).encode())
    return digest.hexdigest()[:16]


def fill(folder: Path, trunk: ListenerModel, source: RecordSource, mark: str, unseen: float) -> None:
    """Runs the trunk over every clip as `sample` does; in the share `unseen`, as it does for sound alone."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [len(source[i].listener_motion) for i in range(len(source))]
    starts = np.concatenate([[0], np.cumsum(frames)])
    variables = jax.device_put(trunk.variables)
    compiled = jax.jit(stateful(trunk.model))
    files, traits = None, []
    for i in range(len(source)):
        clip = source[i]
        is_seen = clip.features.speaker_seen & (np.random.default_rng(i).random() >= unseen)
        output = run_trunk(
            lambda *inputs: compiled(variables, *inputs),
            clip.features.replace(speaker_seen=is_seen),
            clip.listener_motion[0].astype(np.float32),
            trunk.inference,
        )
        files = files or _open(folder, int(sum(frames)), output.state.shape[1], output.motion.shape[1])
        rows = slice(starts[i], starts[i + 1])
        files["state"][rows], files["mean"][rows] = output.state, output.motion
        files["target"][rows], files["seen"][rows] = clip.listener_motion, clip.listener_seen
        traits.append(traits_of(Motion(source.space, np.asarray(clip.listener_motion, np.float32))))
        if (i + 1) % 100 == 0:
            console.print(f"trunk: {i + 1} of {len(source)} clips")
    for array in (files or {}).values():
        array.flush()
    attitudes = [source.info(i).attitude for i in range(len(source))]
    codes = [style.code() for style in style_table(traits, attitudes)]
    np.save(folder / "codes.npy", np.array(codes, np.float32).reshape(-1, CODE_SIZE))
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps({"mark": mark, "starts": starts.tolist()}), encoding="utf-8")


def _open(folder: Path, frames: int, state: int, coeff: int) -> dict[str, np.memmap]:
    def new(name: str, size: int, dtype: type) -> np.memmap:
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (frames, size))

    return {
        "state": new("state", state, np.float16),
        "mean": new("mean", coeff, np.float32),
        "target": new("target", coeff, np.float32),
        "seen": np.lib.format.open_memmap(folder / "seen.npy", "w+", np.bool_, (frames,)),
    }
