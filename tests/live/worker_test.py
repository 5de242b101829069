"""The work process: what it draws and when, whose pictures it looks at, what it refuses."""

import threading
import time

import numpy as np
import pytest
import skimage.data
from live_messages import jpeg
from live_untrained import save_untrained, voice

from lhg_jax.live import pipe, worker
from lhg_jax.live.listener import LiveFrame
from lhg_jax.live.mailbox import HeardSound, Mailbox, SeenPicture
from lhg_jax.live.manner import Manner
from lhg_jax.live.picture import decode_jpeg, encode_jpeg
from lhg_jax.live.protocol import Want
from lhg_jax.live.worker import Closed, Work
from lhg_jax.util.errors import UserError


class Renderer:
    def render(self, rows):
        yield np.zeros((16, 16, 3), np.uint8)


class Listener:
    """Has as many frames due as `due` says."""

    def __init__(self, portrait, checkpoint):
        self.due, self.pictures, self.sounds, self.portraits = [], [], [], []
        self.manner = Manner()

    def warm_up(self):
        pass

    def restart(self):
        self.manner = Manner()

    def change_portrait(self, portrait):
        self.portraits.append(portrait)

    def push_audio(self, samples, time_s):
        self.sounds.append((samples, time_s))

    def push_image(self, image, time_s):
        self.pictures.append(time_s)
        return True

    def frames(self, now_s):
        due, self.due = self.due, []
        return due


def frame(number):
    made, values = object.__new__(LiveFrame), {"time_s": number / 30, "motion": np.zeros(70, np.float32)}
    for name, value in {**values, "renderer": Renderer()}.items():
        object.__setattr__(made, name, value)
    return made


@pytest.fixture
def work(monkeypatch):
    """A work process without a network, and what it has said."""
    monkeypatch.setattr(worker, "LiveListener", Listener)
    monkeypatch.setattr(worker, "frame_head", lambda image, size: image)
    said = []
    made = Work(pipe.Setup(np.zeros((16, 16, 3), np.uint8), None, 16), said.append)
    made._handle(pipe.Begin(7))
    return made, said


def test_frames_are_drawn_as_far_as_they_are_wanted_and_the_newest_first(work):
    made, said = work
    made._listener.due = [frame(n) for n in range(5)]
    made._answer(0.0)
    assert said == []
    made._handle(Want(100))
    made._listener.due = [frame(n) for n in range(5)]
    made._answer(0.0)
    assert [one.number for one in said] == [2, 3, 4] and said[0].session == 7
    for start in range(10, 40, 2):
        made._listener.due = [frame(start), frame(start + 1)]
        made._answer(0.0)
    assert len(said) == 8, "no client has more than eight on their way"
    assert decode_jpeg(said[0].jpeg).shape == (16, 16, 3)


def test_sound_is_all_heard_and_pictures_as_time_allows(work, monkeypatch):
    made, said = work
    now = [100.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    push = made._listener.push_image
    made._listener.push_image = lambda image, time_s: now.__setitem__(0, now[0] + 0.05) or push(image, time_s)
    pcm = np.arange(-160, 160, dtype="<i2").tobytes()
    for i in range(100):
        made._handle(HeardSound(float(i), pcm))
        made._handle(SeenPicture(float(i), jpeg()))
        now[0] += 0.02
    assert len(made._listener.sounds) == 100
    seconds = now[0] - 100
    share = 0.05 * len(made._listener.pictures) / seconds
    assert 0.2 < share <= worker.MOST_TRACKING + 0.03
    made._frames_share, before, start = 0.9, len(made._listener.pictures), now[0]
    for i in range(200):
        made._handle(SeenPicture(float(i), jpeg()))
        now[0] += 0.02
    assert 0.05 * (len(made._listener.pictures) - before) / (now[0] - start) < 0.12
    made._track_after = 0.0
    made._handle(SeenPicture(0.0, jpeg()[:200]))
    made._handle(SeenPicture(0.0, b"\xff\xd8\xff"))
    assert said[-1].what == "picture" and said[-1].session == 7


def test_portraits_come_and_go_with_their_session(work):
    made, said = work
    image = np.full((16, 16, 3), 9, np.uint8)
    made._handle(Manner(2.0, 0.5))
    made._handle(pipe.NewPortrait(encode_jpeg(image)))
    assert isinstance(said[-1], pipe.PortraitShown) and said[-1].session == 7
    assert made._listener.manner == Manner(2.0, 0.5)
    made._handle(pipe.NewPortrait(b"no picture"))
    assert said[-1].what == "portrait" and "is no picture" in said[-1].reason
    made._handle(pipe.End())
    assert made._listener.portraits[-1] is made._original and said[-1].session == -1
    count = len(made._listener.sounds)
    made._handle(HeardSound(0.0, b"12"))
    assert len(made._listener.sounds) == count, "nobody is speaking"


@pytest.mark.slow
def test_a_real_listener_works_from_setup_to_end(tmp_path):
    """Sound and pictures in, frames out at their pace; another portrait; a file without a face."""
    said, mailbox = [], Mailbox()
    portrait = skimage.data.astronaut()
    made = Work(pipe.Setup(portrait, save_untrained(tmp_path / "listener.safetensors"), 128), said.append)
    thread = threading.Thread(target=made.run, args=(mailbox,))
    thread.start()
    mailbox.put(pipe.Begin(3))
    wave, start = voice(4.0), time.monotonic()
    for i in range(100):
        pcm = (wave[320 * i :][:320] * 32767).astype("<i2").tobytes()
        mailbox.put(HeardSound(start + 0.02 * i, pcm))
        if i % 4 == 0:
            mailbox.put(SeenPicture(start + 0.02 * i, encode_jpeg(portrait[:256, 100:356])))
            mailbox.put(Want(4))
        time.sleep(max(start + 0.02 * (i + 1) - time.monotonic(), 0))
    mailbox.put(pipe.NewPortrait(encode_jpeg(np.full((200, 200, 3), 128, np.uint8))))
    time.sleep(0.5)
    mailbox.put(Closed())
    thread.join(60)
    frames = [one for one in said if isinstance(one, pipe.DrawnFrame)]
    assert len(frames) > 10 and {one.session for one in frames} == {3}
    assert max(decode_jpeg(frames[-1].jpeg).shape) <= 128
    first, last = decode_jpeg(frames[0].jpeg), decode_jpeg(frames[-1].jpeg)
    assert np.abs(first.astype(int) - last).max() > 10
    assert any(one.seen for one in said if isinstance(one, pipe.Alive))
    assert [one.what for one in said if isinstance(one, pipe.Refused)] == ["portrait"]


def test_a_portrait_without_a_face_is_an_error():
    with pytest.raises(UserError, match="no face found"):
        Work(pipe.Setup(np.full((100, 100, 3), 99, np.uint8), None, 64), lambda message: None)
