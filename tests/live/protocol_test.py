"""Messages of the live websocket: what is sent comes back, and what is none is refused with a reason."""

import json

import numpy as np
import pytest
from live_messages import BAD_BINARY, BAD_TEXT, head, jpeg

from lhg_jax.live import protocol
from lhg_jax.live.manner import Manner
from lhg_jax.live.protocol import Picture, Ping, Portrait, ProtocolError, Sound, Want


@pytest.mark.parametrize("seed", range(5))
def test_binary_messages_come_back(seed):
    rng = np.random.default_rng(seed)
    time_us = int(rng.integers(0, 2**63))
    pcm = rng.integers(-32768, 32767, int(rng.integers(1, 4000)), dtype=np.int16)
    for message in (
        Sound(time_us, pcm.astype("<i2").tobytes()),
        Picture(time_us, jpeg(int(rng.integers(1, 200)), int(rng.integers(1, 200)), seed)),
        Portrait(rng.bytes(100)),
    ):
        assert protocol.parse(protocol.message_bytes(message)) == message
    sound = protocol.parse(protocol.message_bytes(Sound(time_us, pcm.astype("<i2").tobytes())))
    np.testing.assert_allclose(sound.samples, pcm / 32768, atol=1e-7)
    frame = (time_us, int(rng.integers(0, 2**32)), rng.bytes(50))
    assert protocol.read_frame(protocol.frame_bytes(*frame)) == frame


def test_text_messages():
    def parse(**fields):
        return protocol.parse(json.dumps(fields))

    assert parse(type="want", frames=3) == Want(3)
    assert parse(type="ping", time_us=12.0) == Ping(12)
    assert parse(type="manner", liveliness=1.5, attitude=-1) == Manner(1.5, -1.0)


@pytest.mark.parametrize("text", BAD_TEXT)
def test_text_that_is_no_message(text):
    with pytest.raises(ProtocolError):
        protocol.parse(text)


@pytest.mark.parametrize("name", BAD_BINARY)
def test_bytes_that_are_no_message(name):
    with pytest.raises(ProtocolError):
        protocol.parse(BAD_BINARY[name])


def test_a_picture_that_claims_to_be_huge_is_not_decoded():
    """The size in the head of a small file: 65,500 pixels a side."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xdc\xff\xdc"
    with pytest.raises(ProtocolError, match=r"pixels a side|JPEG"):
        protocol.parse(head(b"I") + bytes(data))


@pytest.mark.parametrize("seed", range(300))
def test_random_bytes_raise_nothing_else(seed):
    rng = np.random.default_rng(seed)
    data = rng.bytes(int(rng.integers(0, 200)))
    if seed % 3:
        data = (b"S", b"I")[seed % 2] + data
    if seed % 5 == 0:
        whole = bytearray(protocol.message_bytes(Picture(0, jpeg(seed=seed))))
        for at in rng.integers(9, len(whole), 5):
            whole[at] = rng.integers(256)
        data = bytes(whole[: rng.integers(len(whole))])
    for message in (data, data.decode("latin-1")):
        try:
            protocol.parse(message)
        except ProtocolError as error:
            assert str(error)
