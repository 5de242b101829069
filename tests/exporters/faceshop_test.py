"""3DFaceShop's generator against recordings of the original, stage by stage."""

import json

import pytest

torch = pytest.importorskip("torch")
from faceshop_weights import random_generator, recorded  # noqa: E402

from lhg_exporters.faceshop.camera import cast_rays, pixel_grid  # noqa: E402
from lhg_exporters.faceshop.generator import Generator, Sizes  # noqa: E402
from lhg_exporters.faceshop.integration import (  # noqa: E402
    coarse_distances,
    fine_distances,
    ray_weights,
)
from lhg_exporters.faceshop.triplane import sample_planes  # noqa: E402
from lhg_exporters.faceshop.volume import (  # noqa: E402
    FAR,
    NEAR,
    Rays,
    Static,
    look,
    sample,
)

BLENDS = {"both": (0, 17), "hair": (17,), "background": (0,)}


def close(found, want, tolerance):
    """Equal to `tolerance`, relative to the largest value (goldens/README)."""
    difference = (found - want.reshape(found.shape)).abs().max() / want.abs().max()
    assert difference <= tolerance, f"differs by {difference:.2g}"


def generator_of(state) -> Generator:
    generator = Generator(Sizes.of(state))
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False)


def scene(shared, case: str, model: str = "faceshop_small"):
    """Generator, recording, styles, texels, rays and jitter of a recorded case."""
    state, data = recorded(shared, model, case)
    generator = generator_of(state)
    ws = generator.styles(data["in_latent"], float(data["in_truncation_psi"]))
    side, steps = generator.sizes.rays, int(data["in_num_steps"])
    rays = Rays(*cast_rays(pixel_grid(side), data["in_pose"]))
    jitter = data.get("in_jitter_u", torch.full((len(ws), side * side, steps), 0.5))
    return generator, data, ws, generator.texels(ws), rays, jitter.reshape(len(ws), -1, steps)


def as_image(seen):
    """[batch, rays, channels] -> [batch, channels, side, side]."""
    side = int(seen.shape[1] ** 0.5)
    return seen.transpose(1, 2).unflatten(2, (side, side))


def planes_of(texels):
    """Texels back as planes [batch, 96, size, size]."""
    size = int((texels.shape[1] // 3) ** 0.5)
    return texels.unflatten(1, (3, size, size)).permute(0, 1, 4, 2, 3).flatten(1, 2)


def test_stages_without_fine_samples(shared):
    generator, data, ws, texels, rays, jitter = scene(shared, "stages_nohier")
    close(ws[:, 0], data["out_ws0"], 6e-6)
    close(rays.origin, data["out_cam_origin"], 1e-7)
    close(rays.direction, data["out_ray_dirs"], 1e-6)
    close(planes_of(texels)[:, ::2], data["out_triplane_ch_sub2"], 1.7e-5)
    distance = coarse_distances(jitter, NEAR, FAR)
    close(rays.at(distance), data["out_points"], 1.2e-5)
    features = sample_planes(texels, rays.at(distance)).flatten(1, 2)
    close(features[:, ::13], data["out_plane_feat_sub13"], 2e-5)
    samples = sample(generator.decoder, texels, rays, distance)
    close(coarse(samples)[:, ::5], data["out_coarse_sub5"], 2.9e-5)
    seen = look(generator.decoder, texels, rays, jitter)
    close(seen.distance, data["out_z_sorted"], 6e-7)
    close(seen.weights, data["out_weights"], 1.4e-5)
    close(seen.depth, data["out_depth"], 2.6e-6)
    close(as_image(seen.labels), data["out_label"], 3e-5)
    close(as_image(seen.features), data["out_pixel_feat"], 1.5e-5)
    close(as_image(seen.features)[:, :3] * 2 - 1, data["out_raw_img"], 5e-5)
    close(generator.image(seen.features, ws), data["out_final_img"], 2.1e-5)


def coarse(samples):
    """Decoded samples in the order of the recordings."""
    return torch.cat([samples.features, samples.density[..., None], samples.labels], dim=-1)


def test_stages_with_fine_samples(shared):
    generator, data, ws, texels, rays, jitter = scene(shared, "stages_hier")
    draws = data["in_pdf_u"].reshape(jitter.shape)
    distance = coarse_distances(jitter, NEAR, FAR)
    samples = sample(generator.decoder, texels, rays, distance)
    close(coarse(samples)[:, ::5], data["out_coarse_sub5"], 1.7e-5)
    weights = ray_weights(distance, samples.density)
    close(weights, data["out_coarse_weights"], 6.7e-6)
    fine = fine_distances(distance, weights, draws)
    assert (fine - data["out_fine_z"][..., 0]).abs().max() < 2e-4
    seen = look(generator.decoder, texels, rays, jitter, draws)
    assert (seen.distance - data["out_z_sorted"][..., 0]).abs().max() < 2e-4
    close(seen.weights, data["out_weights"], 9e-6)
    close(seen.depth, data["out_depth"], 1.7e-6)
    close(as_image(seen.labels), data["out_label"], 3e-5)
    close(as_image(seen.features), data["out_pixel_feat"], 2.4e-5)
    close(generator.image(seen.features, ws), data["out_final_img"], 1.7e-5)


def test_blended_frames(shared):
    generator, data, ws, texels, rays, jitter = scene(shared, "blend")
    draws = data["in_pdf_u"]

    def frame(k, static):
        one = slice(k, k + 1)
        view = Rays(rays.origin[one], rays.direction[one])
        seen = look(generator.decoder, texels[one], view, jitter[one], draws[one], static)
        return as_image(seen.features), generator.image(seen.features, ws[one])

    features, image = frame(0, None)
    close(features, data["out_pixel_feat0"], 2e-5)
    close(image, data["out_frame0"], 2.7e-5)
    for name, labels in BLENDS.items():
        frozen = torch.zeros(19).index_fill(0, torch.tensor(labels), 1.0)
        features, image = frame(1, Static(texels[:1], frozen))
        close(features, data[f"out_pixel_feat1_{name}"], 2.1e-5)
        close(image, data[f"out_frame1_{name}"], 2.3e-5)


def test_static_area_stays_and_dynamic_area_moves(shared):
    """The same camera on both faces of the recording: only rays through what is not frozen change."""
    generator, data, _, texels, rays, jitter = scene(shared, "blend")
    view = Rays(rays.origin[:1], rays.direction[:1])
    arguments = view, jitter[:1], data["in_pdf_u"][:1]
    frozen = torch.zeros(19).index_fill(0, torch.tensor(BLENDS["both"]), 1.0)
    first = look(generator.decoder, texels[:1], *arguments)
    second = look(generator.decoder, texels[1:], *arguments, Static(texels[:1], frozen))
    free = look(generator.decoder, texels[1:], *arguments)
    still = sample(generator.decoder, texels[:1], view, second.distance).labels
    share = (second.weights * frozen[still.argmax(-1)]).sum(-1)  # of a ray's light that is frozen
    moved, moved_freely = ((x.features - first.features).abs().mean(-1) for x in (second, free))
    static, dynamic = share > 0.999, share < 0.5
    assert static.sum() > 20 and dynamic.sum() > 20
    assert moved[static].mean() < 0.05 * moved_freely[static].mean()
    assert moved[dynamic].mean() > 10 * moved[static].mean()


@pytest.mark.slow
def test_full_size(shared):
    generator, data, ws, texels, rays, jitter = scene(shared, "nohier12", "faceshop_full")
    seen = look(generator.decoder, texels, rays, jitter)
    image, features = generator.image(seen.features, ws), as_image(seen.features)
    close(ws[:, 0], data["out_ws0"], 6e-6)
    close(planes_of(texels)[:, ::3, ::8, ::8], data["out_triplane_sub"], 1.7e-5)
    samples = sample(generator.decoder, texels, rays, coarse_distances(jitter, NEAR, FAR))
    close(coarse(samples)[:, ::97], data["out_coarse_sub"], 1.2e-4)
    close(seen.depth, data["out_depth"], 2e-5)
    close(features[..., ::4, ::4], data["out_pixel_feat_sub"], 2.1e-4)
    assert (features[:, :3] * 2 - 1 - data["out_raw_img"]).abs().max() < 5e-4
    assert torch.equal(as_image(seen.labels).argmax(1), data["out_label_argmax"].long())
    close(image[..., 192:320, 192:320], data["out_final_img_crop"], 1e-4)
    close(image[..., ::4, ::4], data["out_final_img_sub4"], 1.1e-4)


def test_names_and_order_of_tensors_are_official(shared):
    manifest = json.loads((shared / "specs/faceshop.manifest.json").read_text())["entries"]
    channels = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    with torch.device("meta"):
        generator = Generator(Sizes(channels, image=512, width=64))
    want = [(entry["key"], tuple(entry["shape"])) for entry in manifest]
    assert [(name, tuple(x.shape)) for name, x in generator.state_dict().items()] == want
    averaged = [entry for entry in manifest if entry["ema_index"] is not None]
    averaged.sort(key=lambda entry: entry["ema_index"])
    assert [name for name, _ in generator.named_parameters()] == [entry["key"] for entry in averaged]


def test_weights_of_a_ray_sum_to_one():
    distance = torch.rand(5, 7).sort(dim=-1).values
    weights = ray_weights(distance, 30 * torch.rand(5, 7))
    torch.testing.assert_close(weights.sum(-1), torch.ones(5))


def test_planes_are_sampled_as_a_grid_sampler_does():
    """Each plane with its own axes, on random points inside and outside the cube."""
    generator = random_generator()
    texels = generator.texels(generator.styles(torch.randn(2, 379)))
    points = 0.3 * torch.randn(2, 50, 3)
    places = (points / (0.185 + 1e-5)).clamp(-1, 1)
    want = 0
    for plane, axes in zip(planes_of(texels).chunk(3, dim=1), ((0, 2), (0, 1), (1, 2)), strict=True):
        grid = places[:, None, :, axes]
        want = want + torch.nn.functional.grid_sample(plane, grid, align_corners=True, padding_mode="border")
    torch.testing.assert_close(
        sample_planes(texels, points), want[:, :, 0].transpose(1, 2), atol=1e-3, rtol=1e-3
    )
