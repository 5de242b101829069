"""Portraits of a live session: head and shoulders, in the size of the frames."""

import cv2
import numpy as np
import pytest
import skimage.data

from lhg_jax.faces import detection
from lhg_jax.live.portrait import MAX_SOURCE, frame_head, read_portrait
from lhg_jax.util.errors import UserError


def small_face(width, height, at):
    """A photograph in which the face is a small part of the picture."""
    face = skimage.data.astronaut()[:300, 80:380]
    image = np.full((height, width, 3), 120, np.uint8)
    image[at[1] : at[1] + 300, at[0] : at[0] + 300] = face
    return image


@pytest.mark.parametrize("at", [(20, 10), (400, 300)])
def test_the_head_fills_the_frame(at):
    framed = frame_head(small_face(900, 800, at), 256)
    assert max(framed.shape[:2]) <= 256
    [box] = detection.find_faces(framed)
    part = (box[2] - box[0]) / framed.shape[1]
    assert 0.3 < part < 0.6
    again = frame_head(framed, 256)
    np.testing.assert_array_equal(again, framed)


def test_a_picture_without_a_face():
    with pytest.raises(UserError, match="no face found"):
        frame_head(np.full((200, 200, 3), 90, np.uint8), 256)


def test_files_that_clients_send():
    image = small_face(2400, 900, (40, 40))
    data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    assert read_portrait(data).shape == (720, MAX_SOURCE, 3)
    with pytest.raises(UserError, match="the portrait: is no picture"):
        read_portrait(b"<svg/>")
