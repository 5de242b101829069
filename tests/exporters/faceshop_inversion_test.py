"""Inversion: pictures of known latents are recovered; what the tool writes is what the renderer draws."""

import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
from faceshop_folder import make_folder, make_person  # noqa: E402
from faceshop_weights import random_generator  # noqa: E402

from lhg_exporters import invert_portrait, onnx_file  # noqa: E402
from lhg_exporters.faceshop.inversion import (  # noqa: E402
    Search,
    Settings,
    draw,
    fine_parameters,
    psnr_db,
)
from lhg_jax.faces.precomputed import COEFF_PARTS  # noqa: E402
from lhg_jax.motion import DEEP3D  # noqa: E402
from lhg_jax.render.faceshop import fit as faceshop_fit  # noqa: E402
from lhg_jax.render.faceshop import latent as latent_code  # noqa: E402
from lhg_jax.render.faceshop.files import FaceGenerator, load_face_generator  # noqa: E402
from lhg_jax.render.faceshop.paste import cut  # noqa: E402
from lhg_jax.render.faceshop.person import load_person, portrait_file  # noqa: E402
from lhg_jax.render.faceshop.renderer import FaceshopRenderer  # noqa: E402
from lhg_jax.util.errors import UserError  # noqa: E402

SAMPLES = 8


def known_picture(generator, seed: int):
    """A random latent and camera, and their picture with 256 levels."""
    random = torch.Generator().manual_seed(seed)
    latent, pose = torch.randn(379, generator=random), torch.tensor([1.5, 1.7])
    with torch.no_grad():
        picture = draw(generator, generator.styles(latent[None]), pose, SAMPLES).clamp(-1, 1)
    return latent, pose, ((picture + 1) * 127.5).round() / 127.5 - 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_pictures_of_known_latents_are_recovered(seed, one_thread):
    """Coefficients and pose (0.02 rad off) as a tracker gives them; z unknown."""
    generator = random_generator(seed)
    latent, pose, picture = known_picture(generator, seed)
    search = Search(generator, picture, latent, pose + 0.02, Settings(steps=150, samples=SAMPLES))
    with torch.no_grad():
        before = psnr_db(search.draw(), picture)
    ticks = []
    found = search.run(lambda: ticks.append(1))
    print(f"PSNR {before:.1f} -> {found.psnr_db:.1f} dB")
    assert len(ticks) == 150
    assert before < 25
    assert found.psnr_db >= 30
    assert found.generator is generator
    assert found.pose_offset.abs().max() < 0.06  # the pose is not bent to explain the picture
    torch.testing.assert_close(found.latent[128:], latent[128:])  # coefficients stay the tracker's


@pytest.mark.slow
def test_tuning_fits_the_portrait_and_spares_other_faces(one_thread):
    generator = random_generator(6)
    original = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    latent, pose, picture = known_picture(generator, 6)

    def found(**settings):
        given = Settings(steps=15, samples=SAMPLES, **settings)
        return Search(generator, picture, latent, pose, given).run()

    def other_faces(tuned):
        """How far tuning moved a face that it has not seen."""
        ws = generator.styles(torch.randn(1, 379, generator=torch.Generator().manual_seed(77)), 0.7)
        return (draw(tuned, ws, pose, SAMPLES) - draw(generator, ws, pose, SAMPLES)).abs().mean()

    pivot = found().psnr_db
    held, free = (found(tune_steps=60, tune_rate=3e-3, local_weight=weight) for weight in (1.0, 0.0))
    assert min(held.psnr_db, free.psnr_db) > pivot + 1
    with torch.no_grad():
        assert other_faces(held.generator) < 0.8 * other_faces(free.generator)
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, original[name]), name  # tuning works on a copy
    tuned = held.generator.state_dict()
    assert torch.equal(tuned["encoder.mapping.fc0.weight"], original["encoder.mapping.fc0.weight"])
    assert not torch.equal(tuned["sr.block1.torgb.weight"], original["sr.block1.torgb.weight"])


def test_half_of_the_generator_is_tuned():
    generator = random_generator()
    names = {id(tensor): name for name, tensor in generator.named_parameters()}
    tuned = {names[id(tensor)] for tensor in fine_parameters(generator)}
    assert "decoder.image_head.bias" in tuned and "encoder.synthesis.b4.torgb.weight" in tuned
    assert not {name for name in tuned if "mapping" in name or ".b8.conv" in name}


def coefficients_of(person) -> dict[str, np.ndarray]:
    """What Deep3DFaceRecon would have written for a person."""
    coeff = np.zeros((1, 257), np.float32)
    for name, columns in faceshop_fit.LATENT_PARTS.items():
        where, scale = latent_code.PARTS[name]
        coeff[0, columns] = person.latent[where] * scale
    coeff[0, COEFF_PARTS["angle"]], coeff[0, COEFF_PARTS["trans"]] = person.angle, person.trans
    place = person.placement
    crop = np.array([[place.height, place.height, place.scale, *place.origin]], np.float32)
    return {"coeff": coeff, "transform_params": crop}


@pytest.mark.slow
def test_the_tool_makes_a_portrait_that_the_renderer_draws(tmp_path, one_thread):
    """A portrait drawn by the generator itself, inverted from a file of coefficients."""
    folder = make_folder(tmp_path / "weights")
    generator = FaceGenerator(load_face_generator(folder).stages, steps=SAMPLES)
    known = make_person(6, 96, seed=3)
    known = dataclasses.replace(known, residual=0 * known.residual, pose_offset=0 * known.pose_offset)
    row = np.zeros(DEEP3D.size, np.float32)
    row[DEEP3D.slice("exp")] = known.latent[latent_code.PARTS["exp"][0]] * 4.0
    row[DEEP3D.slice("angle")], row[DEEP3D.slice("trans")] = known.angle, known.trans
    portrait = np.zeros((96, 96, 3), np.uint8)
    drawn, _ = FaceshopRenderer(portrait, generator, known).draw(row)
    to_portrait = known.placement.to_portrait(float(known.angle[2]), known.trans, len(drawn))
    portrait = to_bytes(cut(to_bytes(drawn), cv2.invertAffineTransform(to_portrait), 96))
    Image.fromarray(portrait).save(tmp_path / "me.png")
    np.savez(tmp_path / "me.npz", **coefficients_of(known))
    options = invert_portrait.Options(
        weights=folder / "generator.pth",
        portrait=tmp_path / "me.png",
        output=folder,
        coefficients=tmp_path / "me.npz",
        steps=150,
        samples=SAMPLES,
    )
    reported = invert_portrait.invert(options)
    person = load_person(portrait_file(folder, portrait))
    np.testing.assert_allclose(person.latent[128:], known.latent[128:], atol=1e-5)
    picture, _ = FaceshopRenderer(portrait, generator, person).draw(row)
    found = psnr(picture, cut(portrait, to_portrait, len(picture)))
    print(f"PSNR {found:.1f} dB by the renderer, {reported:.1f} by the search")
    assert found > 30 and abs(found - reported) < 0.5


def to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.rint(255 * picture).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * np.log10(np.square(a - b).mean())


def test_what_the_tool_refuses(tmp_path):
    given = {"weights": tmp_path / "g.pth", "portrait": tmp_path / "p.png", "output": tmp_path}
    for change, message in [
        ({}, "either the tracker's network or --coefficients"),
        ({"coefficients": tmp_path / "c.npz", "steps": -1}, "must not be negative"),
        ({"coefficients": tmp_path / "c.npz"}, "not a renderer's folder"),
    ]:
        with pytest.raises(UserError, match=message):
            invert_portrait.invert(invert_portrait.Options(**given, **change))
    for number in (1, 2):
        torch.save(random_generator(number).state_dict(), tmp_path / f"{number}.pth")
    mapping = onnx_file.Options("faceshop_mapping", tmp_path / "1.pth", tmp_path / "mapping.onnx")
    onnx_file.export(mapping)
    for change, message in [
        ({"tune": 3}, "already holds a generator"),
        ({"weights": tmp_path / "2.pth"}, "made from other weights than"),
        ({"weights": tmp_path / "1.pth"}, "p.png: no such file"),
    ]:
        options = given | {"coefficients": tmp_path / "c.npz"} | change
        with pytest.raises(UserError, match=message):
            invert_portrait.invert(invert_portrait.Options(**options))


def test_coefficients_are_read_from_both_kinds_of_file(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    arrays = coefficients_of(make_person(6, 96))
    np.savez(tmp_path / "c.npz", **arrays)
    scipy_io.savemat(tmp_path / "c.mat", arrays)
    for name in ("c.npz", "c.mat"):
        found = faceshop_fit.read_measurement(tmp_path / name)
        np.testing.assert_array_equal(found.coefficients, arrays["coeff"][0])
        np.testing.assert_array_equal(found.crop, arrays["transform_params"][0])
    person = found.person(96, 6)
    np.testing.assert_allclose(person.latent[128:], make_person(6, 96).latent[128:], rtol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"coeff": np.zeros((1, 257))}, "no transform_params"),
        ({"coeff": np.zeros((1, 70)), "transform_params": np.zeros((1, 5))}, r"coeff is float64 \[1, 70\]"),
        ({"coeff": np.full((1, 257), np.nan), "transform_params": np.zeros((1, 5))}, "not finite"),
    ],
)
def test_other_files_of_coefficients_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(UserError, match=message):
        faceshop_fit.read_measurement(tmp_path / "c.npz")
