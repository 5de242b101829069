import shutil

import numpy as np
import pytest
from data_vico_tree import FRAMES, write_coefficients, write_sound, write_video
from prepare_helpers import Letters, run

from lhg_jax import media
from lhg_jax.data.records import open_source
from lhg_jax.motion import LANDMARK, Motion, save_motion
from lhg_jax.preparation import extraction
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.folder import read_folder
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.util.errors import UserError


def test_names_make_pairs(tmp_path):
    for name in ("a.speaker.mp4", "a.listener.mov", "a.wav", "a.srt", "b.speaker.mp4", "notes.txt", "c.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "motion" / "deep").mkdir(parents=True)
    (tmp_path / "motion" / "deep" / "a.listener.npz").touch()
    listing = read_folder(tmp_path, "valid", tmp_path / "motion")
    (clip,) = listing.clips
    assert (clip.uuid, clip.split, clip.sound, clip.transcript) == (
        "a",
        "valid",
        tmp_path / "a.wav",
        tmp_path / "a.srt",
    )
    assert clip.listener == tmp_path / "a.listener.mov"
    assert clip.speaker_coefficients is None
    assert clip.listener_coefficients == tmp_path / "motion" / "deep" / "a.listener.npz"
    assert listing.left_out == [LeftOut("b", "b.listener.mp4 is missing")]


@pytest.mark.parametrize(("video", "sound"), [(".ts", ".opus"), (".m4v", ".AIFF"), (".wmv", ".caf")])
def test_videos_and_sounds_of_any_kind(tmp_path, video, sound):
    for name in (f"a.speaker{video}", f"a.listener{video}", f"a{sound}"):
        (tmp_path / name).touch()
    [clip] = read_folder(tmp_path, "train", None).clips
    assert clip.speaker == tmp_path / f"a.speaker{video}" and clip.sound == tmp_path / f"a{sound}"


def test_folders_without_pairs(tmp_path):
    with pytest.raises(UserError, match=r"holds no NAME.speaker.mp4"):
        read_folder(tmp_path, "train", None)
    with pytest.raises(UserError, match="no such folder"):
        read_folder(tmp_path / "nowhere", "train", None)


def test_one_letter_in_two_ways_of_writing(tmp_path):
    """Archives from macOS hold `é` as two letters; suffixes may be capitals."""
    for name in ("cafe\u0301.speaker.MP4", "caf\u00e9.listener.mp4", "cafe\u0301.WAV"):
        (tmp_path / name).touch()
    listing = read_folder(tmp_path, "train", None)
    assert [clip.uuid for clip in listing.clips] == ["caf\u00e9"] and not listing.left_out
    assert listing.clips[0].sound == tmp_path / "cafe\u0301.WAV"
    (tmp_path / "caf\u00e9.speaker.webm").touch()
    with pytest.raises(UserError, match="are two videos of one name"):
        read_folder(tmp_path, "train", None)


@pytest.mark.slow
def test_tracked_dyad(tmp_path, monkeypatch):
    """Real faces, words from a transcript, the sound of the speaker's own video; in a worker process."""
    from skimage import data

    portrait = data.astronaut()[:300, 80:380]
    sound = 0.2 * np.sin(np.arange(16000) * 0.05).astype(np.float32)
    for who, shift in (("speaker", 1.0), ("listener", 0.0)):
        with media.VideoWriter(
            tmp_path / "in" / f"a.{who}.mp4",
            300,
            300,
            np.arange(30) / 30,
            audio=sound if who == "speaker" else None,
        ) as writer:
            for number in range(30):
                writer.write(np.roll(portrait, round(shift * number), axis=1))
    (tmp_path / "in" / "a.srt").write_text("1\n00:00:00,100 --> 00:00:00,600\nhello there\n")
    for name in ("b.speaker.mp4", "b.listener.mp4"):
        write_video(tmp_path / "in" / name)
    write_sound(tmp_path / "in" / "b.wav")
    options = ["--source", "folder", "--root", tmp_path / "in", "--workers", "2"]
    run(monkeypatch, *options, "--out", tmp_path / "out")
    source = open_source(tmp_path / "out")
    assert source.metadata.uuids == ["a"]
    assert source.space == LANDMARK
    assert source.info(0).motion_source == "tracked"
    example = source[0]
    moved = example.features.speaker_motion[:, LANDMARK.slice("trans")][:, 0]
    assert np.ptp(moved) > 5 * np.ptp(example.listener_motion[:, LANDMARK.slice("trans")][:, 0])
    assert sorted(set(example.features.word_index)) == [0, 1, 2]
    report = (tmp_path / "out" / "report" / "report.json").read_text()
    assert "no face found in any of 33 frames" in report


def test_coefficients_follow_the_frame_rate_of_the_video(tmp_path, monkeypatch):
    """25 rows of a video of 25 frames/s become 30: a ramp in time stays one."""
    monkeypatch.setattr(extraction, "shared_encoder", Letters)
    for who in ("speaker", "listener"):
        with media.VideoWriter(tmp_path / f"a.{who}.mp4", 16, 16, np.arange(25) / 25) as writer:
            for _ in range(25):
                writer.write(np.zeros((16, 16, 3), np.uint8))
        ramp = np.repeat((np.arange(25, dtype=np.float32)[:, None] + 0.5) / 25, LANDMARK.size, axis=1)
        save_motion(tmp_path / "motion" / f"a.{who}.npz", Motion(LANDMARK, ramp))
    write_sound(tmp_path / "a.wav", 30)
    (clip,) = read_folder(tmp_path, "train", tmp_path / "motion").clips
    example, info = extraction.extract(clip, extraction.Recipe(WordOptions(asr="none")))
    expected = np.clip((np.arange(30) + 0.5) / 30, 0.02, 0.98)
    np.testing.assert_allclose(example.listener_motion[:, 0], expected, atol=1e-5)
    assert "25.00 frames/s, resampled to 30" in info.notes

    shutil.copy(tmp_path / "a.speaker.mp4", tmp_path / "b.speaker.mp4")
    shutil.copy(tmp_path / "a.listener.mp4", tmp_path / "b.listener.mp4")
    write_sound(tmp_path / "b.wav")
    for who in ("speaker", "listener"):
        write_coefficients(tmp_path / "motion" / f"b.{who}.mat", FRAMES)
    _, clip = read_folder(tmp_path, "train", tmp_path / "motion").clips
    with pytest.raises(UserError, match="33 rows, but the video has 25 frames"):
        extraction.extract(clip, extraction.Recipe(WordOptions(asr="none")))
