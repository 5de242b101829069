"""Small valid files of every kind that is read, ways to damage them, and a process that reads the result.

`python tests/fuzz_cases.py KIND SEED COUNT FOLDER` prints a line of JSON for each damaged file.
"""

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

MAX_MEMORY = 2.0e9  # bytes of the whole process, its libraries included
MAX_SECONDS = 60.0


def make_video(folder: Path) -> list[Path]:
    from media_clips import make_video as write

    kinds = {"a.mp4": ("libx264", "aac"), "b.mkv": ("libx264", "libopus"), "c.ts": ("libx264", "mp2"),
             "d.avi": ("mpeg4", "pcm_s16le"), "e.webm": ("libvpx-vp9", "libopus")}  # fmt: skip
    return [
        write(folder / name, codec=video, audio=audio, audio_rate=48000)
        for name, (video, audio) in kinds.items()
    ]


def make_sound(folder: Path) -> list[Path]:
    from media_clips import make_wave

    from lhg_jax import media

    paths = [folder / f"a.{suffix}" for suffix in ("wav", "flac", "m4a", "mp3")]
    for path in paths:
        media.write_audio(path, make_wave(0.7, 16000)[0], 16000)
    return paths


def make_picture(folder: Path) -> list[Path]:
    from media_clips import make_images
    from PIL import Image, ImageCms

    image = Image.fromarray(make_images(1)[0])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    paths = [folder / f"a.{suffix}" for suffix in ("png", "jpg", "webp", "tif", "gif", "bmp", "avif")]
    for path in paths:
        image.save(path, icc_profile=profile)
    Image.fromarray(np.float32(make_images(1)[0][..., 0])).save(folder / "float.tif")
    return [*paths, folder / "float.tif"]


def make_transcript(folder: Path) -> list[Path]:
    cues = (
        "00:00:00.000 --> 00:00:01.000\na<00:00:00.500><c> b</c>\n\n"
        "00:00:01.000 --> 00:00:02.000\nc &amp; d\n"
    )
    grid = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<exists>\n1\n"IntervalTier"\n"words"\n'
    )
    words = [{"word": "a", "start": 0.1, "end": 0.4}, {"word": "12"}, {"word": "b", "start": 0.5, "end": 1}]
    contents = {
        "a.vtt": "WEBVTT\n\n" + cues,
        "a.srt": "1\n" + cues.replace("\n\n", "\n\n2\n"),
        "a.json": json.dumps({"segments": [{"start": 0, "end": 1, "text": "a 12 b", "words": words}]}),
        "a.TextGrid": grid + '0\n1\n2\n0\n0.5\n"a"\n0.5\n1\n"b"\n',
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [folder / name for name in contents]


def make_csv(folder: Path) -> list[Path]:
    (folder / "a.csv").write_text(
        'speaker,listener,output,transcript\na.mp4,b.png,c.mp4,\n"x, y.mp4",b.png,d.mp4,t.srt\n'
    )
    return [folder / "a.csv"]


def make_npz(folder: Path) -> list[Path]:
    from lhg_jax.motion import LANDMARK, Motion, save_motion

    values = np.random.default_rng(0).normal(size=(20, LANDMARK.size)).astype(np.float32)
    save_motion(folder / "a.npz", Motion(LANDMARK, values))
    np.savez_compressed(folder / "b.npz", coeff=np.zeros((5, 257), np.float32))
    return [folder / "a.npz", folder / "b.npz"]


def make_mat(folder: Path) -> list[Path]:
    from scipy.io import savemat

    arrays = {"coeff": np.zeros((5, 257), np.float32), "transform_params": np.zeros((5, 5), np.float32)}
    savemat(folder / "a.mat", arrays)
    savemat(folder / "b.mat", arrays, do_compression=True)
    return [folder / "a.mat", folder / "b.mat"]


def make_safetensors(folder: Path) -> list[Path]:
    from lhg_jax.weights import save_weights

    tree = {"params": {"a": np.zeros((3, 4), np.float32), "b": {"c": np.ones(5, np.float32)}}}
    save_weights(folder / "a.safetensors", tree, {"model": "listener", "config": "{}", "space": "landmark"})
    return [folder / "a.safetensors"]


def make_onnx(folder: Path) -> list[Path]:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [values[0]], [values[1]], [weight]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "a.onnx"
    )
    return [folder / "a.onnx"]


def make_config(folder: Path) -> list[Path]:
    from lhg_jax.config_files import find_config

    return [Path(shutil.copy(find_config(name), folder)) for name in ("demo", "lhg_base")]


def make_prepared(folder: Path) -> list[Path]:
    """A folder of clips; one of its files is damaged."""
    from clip_folder import make_folder

    make_folder(folder / "clips")
    return sorted(path for path in (folder / "clips").iterdir() if not path.name.startswith("."))


def read_media(path: Path) -> None:
    from lhg_jax import media

    info = media.probe(path)
    if info.has_audio:
        media.read_audio(path)
    if info.has_video:
        for _ in media.read_frames(path):
            pass
    times = media.frame_times(path) if info.has_video else np.arange(3) / 25
    with media.VideoWriter(
        path.with_name("out.mp4"), 16, 16, times, audio_from=path if info.has_audio else None
    ) as w:
        for _ in times:
            w.write(np.zeros((16, 16, 3), np.uint8))


def read_picture(path: Path) -> None:
    from lhg_jax import media

    media.read_image(path)


def read_transcript(path: Path) -> None:
    from lhg_jax.speech.words import frame_words, misfit, read_transcript

    words = read_transcript(path)
    frame_words(words, 30), misfit(words, 1.0)


def read_csv(path: Path) -> None:
    from lhg_jax.batch import read_batch

    read_batch(path)


def read_motion(path: Path) -> None:
    from lhg_jax.faces.precomputed import read_coefficients

    read_coefficients(path)


def read_listener(path: Path) -> None:
    from lhg_jax.listener_checkpoint import load_listener
    from lhg_jax.weights import load_weights

    load_weights(path)
    load_listener(path)


def read_network(path: Path) -> None:
    from lhg_jax.util import interop

    stage = interop.load(path)
    stage(x=np.ones((2, 4), np.float32))


def read_config(path: Path) -> None:
    from lhg_jax.config import load_config

    load_config(path)


def read_prepared(path: Path) -> None:
    from lhg_jax.data.pipeline import crop
    from lhg_jax.data.records import open_source

    source = open_source(path.parent)
    assert source.features and source.fingerprint
    for index in range(len(source)):
        source.info(index), crop(source[index], 0, 6)


KINDS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path], None]]] = {
    "video": (make_video, read_media),
    "sound": (make_sound, read_media),
    "picture": (make_picture, read_picture),
    "transcript": (make_transcript, read_transcript),
    "csv": (make_csv, read_csv),
    "npz": (make_npz, read_motion),
    "mat": (make_mat, read_motion),
    "safetensors": (make_safetensors, read_listener),
    "onnx": (make_onnx, read_network),
    "config": (make_config, read_config),
    "prepared": (make_prepared, read_prepared),
}


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The file cut, with bits flipped, with pieces lost or doubled, or under another file's header."""
    how = rng.integers(5)
    size = len(data)
    at = int(rng.integers(size)) if size else 0
    if how == 0:
        return data[:at]
    if how == 1:
        values = np.frombuffer(data, np.uint8).copy()
        for place in rng.integers(size, size=rng.integers(1, 20)):
            values[place] ^= 1 << rng.integers(8)
        return values.tobytes()
    if how == 2:
        return data[:at] + data[at + int(rng.integers(1, 200)) :]
    if how == 3:
        return data[:at] + data[max(0, at - 300) : at] + data[at:]
    header = int(rng.integers(4, 100))
    return other[:header] + data[header:]


def main(kind: str, seed: int, count: int, folder: Path) -> None:
    """Reads `count` damaged files of a kind; the parent looks at the lines that this prints."""
    from lhg_jax.util.errors import UserError

    make, read = KINDS[kind]
    (folder / "valid").mkdir(parents=True)
    valid = make(folder / "valid")
    for path in valid:
        if kind != "safetensors":
            read(path)
    rng = np.random.default_rng(seed)
    for number in range(count):
        path, other = (valid[i] for i in rng.integers(len(valid), size=2))
        place = folder / str(number)
        place.mkdir()
        target = place / path.relative_to(folder / "valid")
        if target.parent != place:  # a folder is read as a whole
            shutil.copytree(path.parent, target.parent)
        target.write_bytes(damaged(path.read_bytes(), other.read_bytes(), rng))
        print(json.dumps({"number": number, "file": path.name, "begins": True}), flush=True)
        start, verdict = time.perf_counter(), "read"
        try:
            read(target)
        except UserError as error:
            named = str(target if target.parent == place else target.parent)
            verdict = "error" if named in str(error) and "\n" not in str(error) else f"message: {error}"
        except Exception as error:
            verdict = f"{type(error).__name__}: {error}"
        line = {
            "number": number,
            "file": path.name,
            "verdict": verdict,
            "seconds": time.perf_counter() - start,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "left": sorted(
                p.name
                for p in place.iterdir()
                if p.name not in (target.relative_to(place).parts[0], "out.mp4")
            ),
        }
        print(json.dumps(line), flush=True)
        if verdict in ("read", "error"):
            shutil.rmtree(place)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
