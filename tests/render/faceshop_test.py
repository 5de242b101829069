"""3DFaceShop as a renderer: its ONNX files against PyTorch and recordings, placement, pasting, bad input."""

import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
from faceshop_folder import make_folder, make_person  # noqa: E402
from faceshop_weights import random_generator, recorded  # noqa: E402

from lhg_exporters.faceshop.camera import cast_rays, pixel_grid  # noqa: E402
from lhg_exporters.faceshop.generator import Generator, Sizes  # noqa: E402
from lhg_exporters.faceshop.volume import Rays, Static, look  # noqa: E402
from lhg_jax import render  # noqa: E402
from lhg_jax.motion import DEEP3D, LANDMARK, Motion  # noqa: E402
from lhg_jax.render.faceshop import files as faceshop_files  # noqa: E402
from lhg_jax.render.faceshop import latent as latent_code  # noqa: E402
from lhg_jax.render.faceshop import paste  # noqa: E402
from lhg_jax.render.faceshop.person import load_person, portrait_file  # noqa: E402
from lhg_jax.render.faceshop.placement import Placement  # noqa: E402
from lhg_jax.render.faceshop.renderer import FaceshopRenderer  # noqa: E402
from lhg_jax.util import interop  # noqa: E402
from lhg_jax.util.errors import UserError  # noqa: E402
from lhg_jax.weights import load_weights, save_weights  # noqa: E402

HEIGHT = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("faceshop"))


@pytest.fixture(scope="module")
def renderer(folder):
    """The tiny generator on a portrait of noise, with few samples a ray."""
    rng = np.random.default_rng(5)
    portrait = rng.integers(0, 256, (HEIGHT, HEIGHT, 3), np.uint8)
    generator = faceshop_files.FaceGenerator(faceshop_files.load_face_generator(folder).stages, steps=8)
    return FaceshopRenderer(portrait, generator, make_person(6, HEIGHT))


def motion(frames: int, seed: int = 0) -> Motion:
    values = np.random.default_rng(seed).normal(size=(frames, DEEP3D.size)).astype(np.float32)
    values[:, DEEP3D.slice("angle")] *= 0.1
    values[:, DEEP3D.slice("trans")] *= 0.02
    return Motion(DEEP3D, values)


def test_onnx_files_equal_pytorch(folder):
    generator = faceshop_files.FaceGenerator(faceshop_files.load_face_generator(folder).stages, steps=8)
    reference = random_generator()
    latents = torch.randn(2, 379, generator=torch.Generator().manual_seed(1))
    pose = np.array([1.5, 1.7], np.float32)
    ws = reference.styles(latents)
    texels = reference.texels(ws)
    ours = [generator.styles(latent.numpy()) for latent in latents]
    tables = [generator.texels(styles) for styles in ours]
    np.testing.assert_allclose(tables[0], texels[0], atol=1e-5 * float(texels.abs().max()))
    jitter = torch.full((1, generator.rays**2, 8), 0.5)
    draws = ((torch.arange(8) + 0.5) / 8).expand_as(jitter)
    rays = Rays(*cast_rays(pixel_grid(generator.rays), torch.from_numpy(pose)[None]))
    frozen = torch.zeros(19).index_fill(0, torch.tensor(faceshop_files.FROZEN), 1.0)
    seen = look(reference.decoder, texels[1:], rays, jitter, draws, Static(texels[:1], frozen))
    features, labels = generator.see(tables[1], tables[0], pose)
    np.testing.assert_allclose(features, seen.features[0], atol=1e-4)
    np.testing.assert_allclose(labels, seen.labels[0], atol=1e-5)
    image = reference.image(seen.features, ws[1:])[0].permute(1, 2, 0)
    ours = generator.image(features, ours[1])
    np.testing.assert_allclose(ours, ((image + 1) / 2).clip(0, 1), atol=1e-4)
    assert 0.05 < ours.std() < 0.5


@pytest.mark.slow
def test_recorded_blend_through_onnx(shared, tmp_path):
    state, data = recorded(shared, "faceshop_small", "blend")
    reference = Generator(Sizes.of(state))
    reference.load_state_dict(state)
    stages = faceshop_files.load_face_generator(make_folder(tmp_path, reference)).stages
    psi = data["in_truncation_psi"].numpy()
    ws = [stages["mapping"](latent=x, truncation=psi)["ws"] for x in data["in_latent"].numpy()]
    texels = [stages["planes"](ws=styles)["texels"] for styles in ws]
    blends = {"both": (0, 17), "hair": (17,), "background": (0,)}
    cases = [(0, "", (), "0"), *((1, f"_{n}", labels, "1") for n, labels in blends.items())]
    for k, name, labels, frame in cases:
        frozen = np.zeros(19, np.float32)
        frozen[list(labels)] = 1.0
        pose = data["in_pose"][k].numpy()
        bound = faceshop_files.bind(
            stages["rays"], texels=texels[k], still=texels[0], frozen=frozen, pose=pose
        )
        samples = {"jitter": data["in_jitter_u"][k, 0, ..., 0], "draws": data["in_pdf_u"][k]}
        seen = interop.in_chunks(
            bound, 100, pixels=pixel_grid(16).numpy(), **{n: x.numpy() for n, x in samples.items()}
        )
        want = data[f"out_pixel_feat{frame}{name}"].numpy().reshape(32, -1).T
        np.testing.assert_allclose(seen["features"], want, atol=2.1e-5 * np.abs(want).max())
        image = stages["super_resolution"](features=seen["features"], ws=ws[k])["image"]
        want = data[f"out_frame{frame}{name}"].numpy().reshape(image.shape)
        np.testing.assert_allclose(image, want, atol=2.7e-5 * np.abs(want).max())


def test_frames_stream_and_keep_the_background(renderer):
    clip = motion(200)
    frames = renderer.animate(clip, np.array([0.02, 1.0, 3.0]))
    assert isinstance(frames, types.GeneratorType)  # nothing is drawn before it is asked for
    first, second = next(frames), next(frames)
    assert first.shape == renderer.portrait.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first[:8], renderer.portrait[:8])  # far from the head
    middle = slice(40, 56), slice(40, 56)
    assert np.abs(first[middle].astype(int) - renderer.portrait[middle]).mean() > 10
    assert np.abs(first[middle].astype(int) - second[middle]).mean() > 1
    again = next(renderer.animate(clip, np.array([0.02])))
    np.testing.assert_array_equal(again, first)


def test_expression_moves_the_picture_and_frozen_labels_do_not(renderer):
    """With every label frozen, the features are the still volume's whatever the expression is."""
    rows = motion(2).values
    rows[:, DEEP3D.slice("angle")] = 0.0
    generator = renderer.generator
    pose = latent_code.camera_pose(np.zeros(3, np.float32))
    tables = []
    for row in rows:
        latent = latent_code.with_parts(renderer.person.latent, exp=row[DEEP3D.slice("exp")])
        tables.append(generator.texels(generator.styles(latent)))
    free = [generator.see(table, tables[0], pose, frozen=())[0] for table in tables]
    held = [generator.see(table, tables[0], pose, frozen=range(19))[0] for table in tables]
    moved = np.abs(free[1] - free[0]).mean()
    assert moved > 0.01
    assert np.abs(held[1] - held[0]).mean() < 0.1 * moved  # samples lie elsewhere, features do not change
    np.testing.assert_allclose(held[0], free[0], atol=1e-5)


def test_latent_is_in_units_of_its_scales():
    parts = {
        name: np.full(columns.stop - columns.start, scale)
        for name, (columns, scale) in latent_code.PARTS.items()
    }
    np.testing.assert_array_equal(latent_code.with_parts(np.zeros(379), **parts), np.ones(379))


def test_placement_follows_the_tracker_camera():
    """The model's origin, and a point above it, land where Deep3DFaceRecon's own projection puts them."""
    rng = np.random.default_rng(3)
    place = Placement(0.7, np.array([310.0, 255.0]), 480)
    for _ in range(5):
        roll, trans = rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.3, 3)
        for up in (0.0, 0.8):
            turned = up * np.array([-np.sin(roll), np.cos(roll)])
            crop = 1015 * (turned + trans[:2]) / (10 - trans[2])
            image = np.array([310.0, 255.0]) + crop / 0.7
            want = [image[0], 479 - image[1]]
            size = 512
            canonical = np.array([0.0, 101.5 * (up - 0.1)])
            pixel = (np.array([1, -1]) * canonical / 112 + 1) * (size - 1) / 2
            found = place.to_portrait(roll, trans, size) @ [*pixel, 1.0]
            np.testing.assert_allclose(found, want, atol=1e-9)


def test_camera_sees_the_turned_head():
    """Nose to the image's right (positive yaw): the camera goes to the head's right hand, -x."""
    pose = torch.from_numpy(latent_code.camera_pose(np.array([0.2, 0.3, 0.0])))[None]
    origin, _ = cast_rays(pixel_grid(2), pose)
    assert origin[0, 0] < 0 and origin[0, 1] > 0


def test_paste_is_exact_where_the_mask_is_zero_or_one():
    rng = np.random.default_rng(0)
    portrait = rng.integers(0, 256, (20, 30, 3), np.uint8)
    picture = rng.random((20, 30, 3), np.float32)
    mask = np.zeros((20, 30), np.float32)
    mask[5:9, 7:11] = 1.0
    frame = paste.paste(portrait, picture, mask)
    np.testing.assert_array_equal(frame[mask == 0], portrait[mask == 0])
    np.testing.assert_array_equal(frame[mask == 1], np.rint(255 * picture[mask == 1]))
    np.testing.assert_array_equal(paste.paste(portrait, picture, 0 * mask), portrait)


@pytest.mark.parametrize("zoom", [0.2, 0.8])
def test_pictures_are_placed_without_shift(zoom):
    """The middle of a blob lands where the map says, also when the picture is averaged first."""
    y, x = np.mgrid[:200, :200]
    blob = np.exp(-((x - 120) ** 2 + (y - 70) ** 2) / 800).astype(np.float32)
    to_portrait = np.array([[zoom, 0.0, 30.0], [0.0, zoom, 20.0]])
    placed = paste.place(blob, to_portrait, (220, 220))
    rows, columns = np.mgrid[:220, :220]
    centre = [(placed * columns).sum() / placed.sum(), (placed * rows).sum() / placed.sum()]
    np.testing.assert_allclose(centre, [zoom * 120 + 30, zoom * 70 + 20], atol=0.1)


def test_person_survives_its_file_and_others_are_refused(tmp_path, folder):
    person = make_person(6, HEIGHT)
    person.save(tmp_path / "p.safetensors")
    loaded = load_person(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(loaded.latent, person.latent)
    np.testing.assert_array_equal(loaded.residual, person.residual)
    assert loaded.placement.height == HEIGHT and loaded.placement.scale == person.placement.scale
    arrays, _ = load_weights(tmp_path / "p.safetensors")
    save_weights(tmp_path / "short.safetensors", arrays | {"latent": person.latent[:9]}, {})
    with pytest.raises(UserError, match="not a portrait inverted"):
        load_person(tmp_path / "short.safetensors")
    generator = faceshop_files.load_face_generator(folder)
    with pytest.raises(UserError, match="inverted for a generator of 14 styles, not of 6"):
        FaceshopRenderer(np.zeros((HEIGHT, HEIGHT, 3), np.uint8), generator, make_person(14, HEIGHT))


def test_what_is_missing_is_named(folder, renderer, tmp_path):
    with pytest.raises(UserError, match="--renderer-weights: faceshop needs the folder"):
        render.load_renderer("faceshop")
    with pytest.raises(UserError, match="no such folder"):
        render.load_renderer("faceshop", tmp_path / "none")
    with pytest.raises(UserError, match=r"mapping.onnx: no such file"):
        render.load_renderer("faceshop", tmp_path)
    loaded = render.load_renderer("faceshop", folder)
    with pytest.raises(UserError, match=r"not known to this generator yet \(.*invert_portrait`"):
        loaded(renderer.portrait, None)
    with pytest.raises(UserError, match="'landmark'"):
        renderer.animate(Motion(LANDMARK, np.zeros((3, 70), np.float32)), np.zeros(1))


def test_inversion_is_found_by_the_portraits_pixels(folder, renderer):
    path = portrait_file(folder, renderer.portrait)
    renderer.person.save(path)
    found = render.load_renderer("faceshop", folder)(renderer.portrait.copy(), None)
    np.testing.assert_array_equal(found.person.latent, renderer.person.latent)
    other = renderer.portrait.copy()
    other[0, 0, 0] ^= 1
    assert portrait_file(folder, other) != path
