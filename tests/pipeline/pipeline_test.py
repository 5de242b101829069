"""`lhg_jax.Pipeline` as a program calls it: arrays or files in, frames and a motion out, nothing printed."""

import concurrent.futures
import logging

import numpy as np
import pytest
import skimage.data
import skimage.io
import stage_stand_ins
from sample_helpers import FPS, face_image, random_listener, voice, write_clip

import lhg_jax
from lhg_jax import faces, media
from lhg_jax.motion import DEEP3D_CROP, LANDMARK

FRAMES = 12


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, portrait):
    folder = tmp_path_factory.mktemp("pipeline")
    write_clip(folder / "speaker.mp4", FRAMES)
    skimage.io.imsave(folder / "portrait.png", portrait, check_contrast=False)
    random_listener(folder / "listener.safetensors", LANDMARK)
    return folder


@pytest.fixture(scope="module")
def pipeline(folder):
    """An untrained listener, small and quick, with everything else as it is by default."""
    return lhg_jax.Pipeline(checkpoint=folder / "listener.safetensors", asr="none")


def test_the_names_for_users():
    assert set(lhg_jax._PUBLIC) <= set(dir(lhg_jax))
    for name in lhg_jax._PUBLIC:
        assert getattr(lhg_jax, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Pipelin'"):
        _ = lhg_jax.Pipelin


def test_files_and_arrays_give_the_same(pipeline, folder, portrait, tmp_path):
    speaker = folder / "speaker.mp4"
    a = pipeline(str(speaker), folder / "portrait.png")
    images = np.stack([frame.image for frame in media.read_frames(speaker)])
    clip = lhg_jax.Clip(media.read_audio(speaker), frames=images, fps=FPS, transcript=[])
    b = pipeline(clip, portrait)
    np.testing.assert_allclose(a.motion.values, b.motion.values, atol=1e-5)
    np.testing.assert_allclose(a.times_s, b.times_s, atol=1e-6)
    drawn = list(b.frames())
    assert len(drawn) == FRAMES and all(image.shape == portrait.shape for image in drawn)
    np.testing.assert_array_equal(drawn[0], next(b.frames()))  # each call starts anew
    b.save(tmp_path / "out.mp4", side_by_side=str(tmp_path / "pair.mp4"))
    for name in ("out", "pair"):
        info = media.probe(tmp_path / f"{name}.mp4")
        assert info.frames == FRAMES and info.has_audio
    assert set(b.seconds) == {"sound", "speech features", "tracking", "portrait", "listener", "rendering"}


def test_a_speaker_is_read_once(pipeline, folder, portrait, monkeypatch):
    kept = pipeline.extract(folder / "speaker.mp4")
    monkeypatch.setattr(media, "read_frames", None)  # cannot be called
    again = pipeline(folder / "speaker.mp4", portrait)
    other = pipeline(kept, face_image())
    assert len(again.motion) == len(other.motion)
    assert not np.allclose(again.motion.values, other.motion.values)  # other people


def test_a_changed_file_is_read_again(pipeline, folder, portrait, tmp_path):
    path = write_clip(tmp_path / "speaker.mp4", 6)
    assert len(pipeline(path, portrait).times_s) == 6
    write_clip(path, 8)
    assert len(pipeline(path, portrait).times_s) == 8


def test_sound_at_another_rate(pipeline, portrait):
    wave = voice(0.5)
    at_48k = np.repeat(wave, 3)
    a, b = (pipeline(lhg_jax.Clip(x, rate), portrait) for x, rate in ((wave, 16000), (at_48k, 48000)))
    assert len(a.motion) == len(b.motion) == 15 and len(a.times_s) == 15


def test_progress_and_silence(folder, portrait, capfd):
    seen = []
    told = lhg_jax.Pipeline(
        checkpoint=folder / "listener.safetensors", asr="none", progress=lambda *step: seen.append(step)
    )
    list(told(folder / "speaker.mp4", portrait).frames())
    for name in ("sound", "tracking", "listener", "rendering"):
        steps = [(done, total) for stage, done, total in seen if stage == name]
        assert steps[0][0] == 0 and steps[-1][0] == steps[-1][1]
    assert ("rendering", 3, FRAMES) in seen
    assert capfd.readouterr() == ("", "")


def test_warnings_are_logged(pipeline, folder, portrait, caplog):
    two = np.concatenate([portrait, portrait], axis=1)
    with caplog.at_level(logging.WARNING, "lhg_jax"):
        pipeline(folder / "speaker.mp4", two)
    assert "portrait: 2 faces found" in caplog.text


def test_threads_share_a_pipeline(folder, portrait):
    fresh = lhg_jax.Pipeline(checkpoint=folder / "listener.safetensors", asr="none")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: fresh(folder / "speaker.mp4", portrait), range(3)))
    for other in made[1:]:
        np.testing.assert_array_equal(made[0].motion.values, other.motion.values)


def test_a_given_motion_is_drawn(pipeline, portrait):
    values = np.zeros((5, LANDMARK.size), np.float32)
    listening = pipeline.render(lhg_jax.Motion(LANDMARK, values), portrait)
    assert len(list(listening.frames())) == 5 and listening.source is None
    with pytest.raises(lhg_jax.UserError, match="'deep3d_crop'"):
        other = lhg_jax.Motion(DEEP3D_CROP, np.zeros((2, DEEP3D_CROP.size), np.float32))
        pipeline.render(other, portrait)
    with pytest.raises(lhg_jax.UserError, match="needs a video of the speaker"):
        listening.save("out.mp4", side_by_side="pair.mp4")


def test_warm_up_loads_everything(folder, portrait):
    cold = lhg_jax.Pipeline(checkpoint=folder / "listener.safetensors", asr="none")
    cold.warm_up()
    assert {*cold.once.made} == {"model", "encoder"}
    assert ("tracker", LANDMARK) in cold.animation.once.made
    cold.warm_up(portrait)


def test_what_cannot_be_used_is_one_line(pipeline, folder, portrait, tmp_path):
    def fails(match, *arguments, **options):
        with pytest.raises(lhg_jax.UserError, match=match):
            pipeline(*arguments, **options)

    fails("a speaker is needed", None, portrait)
    fails("no such file", tmp_path / "none.mp4", portrait)
    fails("portrait: no face", folder / "speaker.mp4", np.zeros((80, 80, 3), np.uint8))
    fails("needs sound", lhg_jax.Clip(np.zeros(0, np.float32)), portrait)
    fails("part of it", lhg_jax.Clip(voice(0.1)), portrait, audio=folder / "speaker.mp4")
    for options, match in [
        ({"renderer": "none"}, "unknown renderer 'none'"),
        ({"asr": "x"}, "unknown recogniser 'x'"),
        ({"restore": "x"}, "unknown restoration 'x'"),
    ]:
        with pytest.raises(lhg_jax.UserError, match=match):
            lhg_jax.Pipeline(**options)


def test_a_renderer_of_ones_own(monkeypatch, folder, portrait):
    class Flat:
        """Paints the mean of the motion."""

        space = DEEP3D_CROP

        def __call__(self, image, fit):
            self.size = image.shape
            return self

        def animate(self, motion, times_s):
            for values in motion.at_times(times_s):
                yield np.full(self.size, 100 + 50 * np.tanh(values.mean()), np.uint8)

    monkeypatch.setitem(faces.TRACKERS, "deep3d_crop", "stage_stand_ins:tracker")
    assert stage_stand_ins.tracker(None).space == DEEP3D_CROP
    own = lhg_jax.Pipeline(renderer=Flat())
    motion = lhg_jax.Motion(DEEP3D_CROP, np.zeros((4, DEEP3D_CROP.size), np.float32))
    assert [image[0, 0, 0] for image in own.render(motion, portrait).frames()] == [100] * 4
