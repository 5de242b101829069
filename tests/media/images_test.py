"""Images of every kind, and the first frames of what moves."""

import numpy as np
import pytest
from media_clips import HEIGHT, WIDTH, make_images, make_video, psnr

from lhg_jax import media
from lhg_jax.util.errors import UserError


def save_image(path, image, **kwargs):
    image.save(path, **kwargs)
    return media.read_image(path)


def test_image_modes(tmp_path):
    from PIL import Image

    rgb = make_images(1)[0]
    picture, grey = Image.fromarray(rgb), np.array(Image.fromarray(rgb).convert("L"))
    np.testing.assert_array_equal(save_image(tmp_path / "rgb.png", picture), rgb)
    np.testing.assert_array_equal(save_image(tmp_path / "grey.png", picture.convert("L"))[..., 1], grey)
    assert psnr(save_image(tmp_path / "cmyk.jpg", picture.convert("CMYK"), quality=95), rgb) > 28
    assert psnr(save_image(tmp_path / "palette.png", picture.quantize(256)), rgb) > 28
    assert psnr(save_image(tmp_path / "photo.webp", picture, quality=95), rgb) > 28
    sixteen = Image.fromarray(np.uint16(grey) * 257)
    np.testing.assert_array_equal(save_image(tmp_path / "sixteen.png", sixteen)[..., 0], grey)
    assert save_image(tmp_path / "bit.png", picture.convert("1")).shape == rgb.shape


def test_transparency_shows_white(tmp_path):
    from PIL import Image

    rgb, alpha = make_images(1)[0], np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    want = rgb * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    np.testing.assert_allclose(save_image(tmp_path / "rgba.png", rgba), want, atol=1.01)
    palette = Image.fromarray(np.uint8([[0, 1]]), mode=None).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    got = save_image(tmp_path / "palette.png", palette, transparency=0)
    np.testing.assert_array_equal(got, [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floats_are_grey_by_the_range_they_fill(tmp_path, top):
    from PIL import Image

    grey = np.array(Image.fromarray(make_images(1)[0]).convert("L"))
    values = np.float32(grey / 255 * top)
    values[0, 0] = np.nan
    back = save_image(tmp_path / "float.tif", Image.fromarray(values))[..., 0]
    np.testing.assert_allclose(back[1:], grey[1:], atol=1)


@pytest.mark.parametrize("factor", [1, 257, 70_000])
def test_integers_of_32_bit(tmp_path, factor):
    from PIL import Image

    grey = np.array(Image.fromarray(make_images(1)[0]).convert("L"))
    back = save_image(tmp_path / "wide.tif", Image.fromarray(np.int32(grey) * factor))[..., 0]
    full = 255 if factor < 70_000 else grey.max()
    np.testing.assert_allclose(back, grey * (255 / full), atol=1)


@pytest.mark.parametrize("kind,white", [
    ("float32", 1), ("float32", 255), ("float32", 65535), ("float64", 1), ("uint16", 65535), ("uint16", 4095),
    ("int16", 32767), ("uint32", 2**32 - 1),
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_tiffs_are_scaled_by_the_range_they_fill(tmp_path, kind, white, channels):
    tifffile = pytest.importorskip("tifffile")
    picture = make_images(1)[0] if channels == 3 else make_images(1)[0][..., 0]
    picture[0] = 255
    values = (picture / 255 * white).astype(kind)
    tifffile.imwrite(tmp_path / "deep.tif", values, photometric="rgb" if channels == 3 else "minisblack")
    back = media.read_image(tmp_path / "deep.tif")
    np.testing.assert_allclose(
        back, np.broadcast_to(picture.reshape(*back.shape[:2], -1), back.shape), atol=1
    )


UPRIGHT = (  # what EXIF orientations 1 to 8 ask for
    lambda image: image,
    lambda image: image[:, ::-1],
    lambda image: image[::-1, ::-1],
    lambda image: image[::-1],
    lambda image: image.transpose(1, 0, 2),
    lambda image: np.rot90(image, -1),
    lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    lambda image: np.rot90(image, 1),
)


def test_deep_tiffs_of_other_layouts(tmp_path):
    """Black and white exchanged; turned; kinds that nothing reads are one line."""
    tifffile = pytest.importorskip("tifffile")
    picture = make_images(1)[0]
    deep, path = picture.astype(np.uint16) * 257, tmp_path / "deep.tif"
    tifffile.imwrite(path, 65535 - deep[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(media.read_image(path)[..., 2], picture[..., 0])
    for orientation, change in enumerate(UPRIGHT, start=1):
        tifffile.imwrite(path, deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
        np.testing.assert_array_equal(media.read_image(path), change(picture), err_msg=str(orientation))
    tifffile.imwrite(path, np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate")
    with pytest.raises(UserError, match=r"deep.tif: is no picture that can be read \(its colours stand"):
        media.read_image(path)
    tifffile.imwrite(path, picture[..., 0].astype(np.float16))
    with pytest.raises(UserError, match=r"deep.tif: is no picture that can be read \(a kind of TIFF"):
        media.read_image(path)


def swapped_profile():
    """The profile of sRGB with red and green exchanged: its table of tags points to the other's entry."""
    from PIL import ImageCms

    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red + 4 : red + 12], data[green + 4 : green + 12] = (
        data[green + 4 : green + 12],
        data[red + 4 : red + 12],
    )
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_those_that_the_profile_means(tmp_path, mode):
    from PIL import Image

    rgb = make_images(1)[0]
    image = Image.fromarray(rgb).convert(mode)
    back = save_image(tmp_path / "profile.png", image, icc_profile=swapped_profile())
    assert np.abs(back.astype(int) - rgb[..., [1, 0, 2]]).max() <= 3
    plain = save_image(tmp_path / "damaged.png", image, icc_profile=b"no profile at all")
    np.testing.assert_array_equal(plain, rgb)


@pytest.mark.parametrize("name", ["phone_grid.heic", "phone_grid_rotated.heic"])
def test_pictures_of_phones_are_whole_and_upright(shared, name):
    if not (shared / "cases" / name).exists():
        pytest.skip("needs ../shared/cases")
    image = media.read_image(shared / "cases" / name)
    assert image.shape == (1200, 800, 3)
    assert psnr(image, media.read_image(shared / "cases" / "phone_grid.heic")) > 30


def test_large_pictures_shrink():
    image = make_images(1, 640, 480)[0]
    assert media.at_most(image, 640) is image
    small = media.at_most(image, 64)
    assert small.shape == (48, 64, 3) and psnr(small, make_images(1, 64, 48)[0]) > 25


@pytest.mark.parametrize("orientation,turns", [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    from PIL import Image

    image = Image.fromarray(make_images(1)[0])
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = save_image(tmp_path / "turned.jpg", image, exif=exif, quality=95)
    assert psnr(back, np.rot90(make_images(1)[0], turns)) > 28


def test_animation_or_video_gives_its_first_frame(tmp_path):
    for name, codec in (("in.mp4", "libx264"), ("in.gif", "gif")):
        image = media.read_image(make_video(tmp_path / name, codec=codec))
        assert psnr(image, make_images(1)[0]) > 15 > psnr(image, make_images(12)[11])


def test_side_by_side_keeps_aspect():
    left, right = make_images(1, 32, 24)[0], make_images(1, 64, 48, seed=2)[0]
    both = media.side_by_side(left, right)
    assert both.shape == (48, 128, 3)
    np.testing.assert_array_equal(both[:, 64:], right)
    assert psnr(both[::2, :64:2], left) > 25


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_in_memory_is_read_as_a_file_is(tmp_path, kind):
    from PIL import Image

    path = tmp_path / f"picture.{kind.lower()}"
    Image.fromarray(make_images(1)[0]).save(path, kind)
    np.testing.assert_array_equal(media.decode_image(path.read_bytes(), "it"), media.read_image(path))


def test_what_is_no_picture_in_memory_is_one_line(tmp_path, monkeypatch):
    from PIL import Image

    from lhg_jax.media import images

    rng, path = np.random.default_rng(0), tmp_path / "x.png"
    Image.fromarray(make_images(1)[0]).save(path)
    whole = path.read_bytes()
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    for data in (b"", rng.bytes(200), whole[: len(whole) // 2], postscript):
        with pytest.raises(UserError, match=r"^the portrait: is no picture"):
            media.decode_image(data, "the portrait")
    monkeypatch.setattr(images, "MAX_PIXELS", WIDTH * HEIGHT - 1.0)
    with pytest.raises(UserError, match="the portrait: has too many pixels"):
        media.decode_image(whole, "the portrait")
