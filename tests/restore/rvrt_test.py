"""RVRT around its network: tiles in time and space, any length and size."""

import numpy as np
import onnx
import pytest
import stage_stand_ins

from lhg_jax.restore import load_restorer
from lhg_jax.restore import rvrt as module
from lhg_jax.restore.rvrt import RVRTRestorer, in_space, in_time, tile_weights
from lhg_jax.util import interop
from lhg_jax.util.errors import UserError


def images(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 13, 16])
def test_any_number_of_frames(count):
    """Each clip is exact, so all that can be wrong is which frames come out, and in which order."""
    given = images(count, 2, 3)
    lengths = []

    def restore(clip):
        lengths.append(len(clip))
        return clip.astype(np.float32) / 255

    found = np.stack(list(in_time(iter(given), 6, 2, restore)))
    np.testing.assert_allclose(found, given / 255.0, atol=1e-6)
    assert set(lengths) == {6} and len(lengths) == max(1, int(np.ceil((count - 2) / 4)))


def test_no_frames_give_no_frames():
    assert not list(in_time(iter([]), 6, 2, lambda clip: clip))


def test_clips_fade_into_each_other():
    values = iter([0.0, 1.0])

    def restore(clip):
        return np.full(clip.shape, next(values), np.float32)

    found = [float(x.mean()) for x in in_time(iter(images(10, 2, 2)), 6, 2, restore)]
    np.testing.assert_allclose(found, [0, 0, 0, 0, 1 / 3, 2 / 3, 1, 1, 1, 1], atol=1e-6)


def test_clips_are_asked_for_as_frames_are_taken():
    taken = []

    def stream():
        for i, image in enumerate(images(100, 2, 2)):
            taken.append(i)
            yield image

    restored = in_time(stream(), 6, 2, lambda clip: clip.astype(np.float32))
    next(restored)
    assert len(taken) == 6
    for _ in range(4):
        next(restored)
    assert len(taken) == 10


@pytest.mark.parametrize(
    ("height", "width"), [(24, 20), (25, 21), (60, 47), (7, 50), (5, 3), (24, 100), (1, 1)]
)
@pytest.mark.parametrize("scale", [1, 4])
def test_any_size(height, width, scale):
    clip = images(2, height, width)
    shapes = set()

    def restore(tile):
        shapes.add(tile.shape[1:3])
        return tile.repeat(scale, 1).repeat(scale, 2).astype(np.float32)

    found = in_space(clip, (24, 20), 8, restore)
    np.testing.assert_allclose(found, clip.repeat(scale, 1).repeat(scale, 2), rtol=1e-5)
    assert shapes == {(24, 20)}


def blur(tile: np.ndarray) -> np.ndarray:
    """Sees two pixels around each, and what lies outside a tile as its edge."""
    padded = np.pad(tile.astype(np.float32), [(0, 0), (2, 2), (2, 2), (0, 0)], mode="edge")
    window = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))
    return window.mean(axis=(-2, -1))


def test_tiled_equals_untiled_away_from_seams():
    clip = images(1, 60, 60)
    whole, tiled = blur(clip), in_space(clip, (32, 32), 12, blur)
    seams = np.zeros(60, bool)
    for edge in (28, 32, 20, 48, 40, 52):  # where tiles begin and end
        seams[max(edge - 2, 0) : edge + 2] = True
    far = ~(seams[:, None] | seams[None])
    np.testing.assert_allclose(tiled[0][far], whole[0][far], atol=1e-3)
    assert np.abs(tiled - whole).max() < 0.5 * np.abs(whole - 127).max()


def test_weights_add_up_and_do_not_fade_at_the_border():
    for size in (20, 21, 33, 100):
        total = np.zeros(size)
        for start, weight in tile_weights(size, 20, 8):
            total[start : start + 20] += weight
        np.testing.assert_allclose(total, 1, atol=1e-6)
    first = tile_weights(40, 20, 8)[0][1]
    np.testing.assert_array_equal(first[:12], 1)
    assert (np.diff(first[12:]) < 0).all()


@pytest.mark.parametrize(("inputs", "scale"), [(3, 4), (3, 1), (4, 1)])
def test_network_gets_and_gives_frames(inputs, scale, tmp_path):
    path = stage_stand_ins.rvrt(tmp_path / "rvrt.onnx", inputs=inputs, scale=scale)
    given = images(7, 50, 33)
    found = np.stack(list(load_restorer("rvrt", path)(iter(given))))
    want = given.repeat(scale, 1).repeat(scale, 2).astype(int)
    if inputs == 4:
        want = np.clip(want - round(module.SIGMA), 0, 255)
    assert found.dtype == np.uint8 and found.shape == want.shape
    assert np.abs(found - want).max() <= 1


def test_sigma_stands_in_the_file(tmp_path):
    path = stage_stand_ins.rvrt(tmp_path / "rvrt.onnx", inputs=4, scale=1)
    annotate(path, sigma="25.5")
    assert load_restorer("rvrt", path).sigma == 25.5
    annotate(path, sigma="much")
    with pytest.raises(UserError, match="its sigma is no number"):
        load_restorer("rvrt", path)


def annotate(path, **notes: str) -> None:
    model = onnx.load(path)
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, path)


def test_values_are_rounded_and_clamped():
    given = images(4, 24, 20)

    def run(arrays):
        restored = np.zeros((1, 4, 3, 24, 20), np.float32)
        restored[:, 0], restored[:, 1], restored[:, 2] = 1.7, -0.3, 99.6 / 255
        return {"restored": restored}

    spec = interop.ArraySpec((1, 4, 3, 24, 20), np.dtype("float32"))
    stage = interop.ExternalNetwork("spy", {"video": spec}, ("restored",), {}, run)
    found = list(RVRTRestorer(stage, (4, 24, 20))(iter(given)))
    assert [int(image.max()) for image in found] == [255, 0, 100, 0]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="--restore-weights"):
        load_restorer("rvrt")
    with pytest.raises(UserError, match="not a network made by"):
        load_restorer("rvrt", stage_stand_ins.pirenderer(tmp_path / "p.onnx"))
    with pytest.raises(UserError, match="no such file"):
        load_restorer("rvrt", tmp_path / "none.onnx")
    with pytest.raises(UserError, match="--restore-weights: no restoration"):
        load_restorer("none", tmp_path / "rvrt.onnx")


@pytest.mark.slow
def test_tiles_of_the_network_itself_agree_away_from_seams():
    """A random network, whole and in tiles: attention and flow see far, so tiles agree only about so well."""
    torch = pytest.importorskip("torch")
    from rvrt_weights import TINY, random_network

    net = random_network(TINY)
    with torch.no_grad():
        for module_ in net.spynet.basic_module:  # flow of random weights differs from tile to tile
            module_.basic_module[-1].weight.mul_(0.05)

    def stage(rows: int, columns: int) -> RVRTRestorer:
        spec = interop.ArraySpec((1, 4, 3, rows, columns), np.dtype("float32"))
        return RVRTRestorer(interop.from_torch(net, {"video": spec}, ["restored"]), (4, rows, columns))

    y, x = np.mgrid[:40, :72]
    clip = np.stack([np.stack([128 + 80 * np.sin((x + t) / 5), y * 3.0, 2.0 * x], -1) for t in range(4)])
    clip = clip.astype(np.uint8)
    whole, tiled = stage(40, 72).restore(clip), stage(40, 48).restore(clip)
    near = np.abs(np.arange(4 * 72) - 4 * 36) < 4 * 14
    change = np.abs(tiled - whole).max((0, 1, 3)) / np.abs(whole - whole.mean()).max()
    assert change[~near].max() < 0.05
