"""A portrait as two layers: the person, cut out with a soft edge, and the background, filled in behind.

The person is found by GrabCut (Rother, Kolmogorov & Blake 2004), started from the tracked face: the
landmarks' hull and an ellipse inside the skull are surely the person, a larger ellipse (hair) and a
trapezium (neck, shoulders) probably, the picture's margins outside of both are not. The mask's edge is
softened along the picture's own edges by a guided filter (He, Sun & Tang 2010). What the person hides is
continued from around it (Telea 2004).

Not every portrait can be cut. GrabCut runs twice, the second time with more hair in its start: if it then
takes in much more above the chin, hair and background look alike, and `separate` gives None.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from lhg_jax.render.smoothstep import smoothstep

Image = UInt8[np.ndarray, "height width 3"]
Mask = Bool[np.ndarray, "height width"]
Small = UInt8[np.ndarray, "rows columns 3"]

# Lengths are distances between the eyes (62 mm). The head of an adult is 150 mm broad and reaches from 115
# mm above the pupils to 108 mm below; hair adds 15 mm or more. y counts from the eyes, down the face.
SKULL_Y, SKULL_AXES = -0.25, (0.95, 1.5)  # surely the person
HAIR_Y, HAIR_AXES = -0.32, (1.45, 2.1)  # probably
MORE_HAIR = 1.25  # the second start's hair over the first's
BODY = ((0.75, 1.5), (3.0, 3.0), (3.6, 20.0))  # half width and y of neck, shoulders, and far below
NECK = ((0.4, 1.0), (0.45, 2.3))  # surely the person, as BODY
BESIDE = 2.2  # from the eyes' middle, above the chin: surely background, such as books beside a shoulder
MARGIN = 0.03  # of the picture's longer side
GRABCUT_UNIT, ROUNDS = 32.0, 4  # pixels between the eyes, at most
EDGE_UNIT = 128.0  # pixels between the eyes at which the edge is softened, at most
THIN = 0.6  # what is thinner beyond the hair is no part of a person
ROUGHNESS = 0.08  # detail of the mask that is smaller is dropped
SOFT = 0.08  # how far from the mask's edge the matte may be between 0 and 1
CONTRAST = 8.0  # grey levels: the guided filter follows edges stronger than this
NO_FRAME = 0, 0, 0, 0  # GrabCut's rectangle, which it does not look at when it has a mask
FRINGE = 0.05  # outside the mask that still goes with the person: loose hair
# Area above the chin by which the two starts may differ. Of 18 portraits and clips 14 lie below 0.5, three
# with objects at the head's edge (a flag, a map, a bookcase) at 0.6 to 1.1, and one, rightly, at 1.7 to 4.3:
# blond hair before a blurred room, of which the first start misses half.
UNCERTAIN = 1.4


@dataclasses.dataclass(frozen=True)
class Layers:
    """A portrait taken apart: person * matte + background * (1 - matte) gives it back.

    Attributes:
      person: its colours; the portrait's where the matte is 0.
      matte: how much of each pixel is the person, 255 = all.
      background: the portrait's where the matte is 0, filled in elsewhere.
    """

    person: Image
    matte: UInt8[np.ndarray, "height width"]
    background: Image


def separate(portrait: Image, landmarks: Float[np.ndarray, "68 2"]) -> Layers | None:
    """The layers of a picture with these landmarks (pixels); None where they cannot be told apart."""
    unit = distance_between_eyes(landmarks)
    scale = min(1.0, GRABCUT_UNIT / unit)
    small, points = _scaled(portrait, scale), (landmarks + 0.5) * scale - 0.5
    mask, wider = (_cut_out(small, points, hair) for hair in (1.0, MORE_HAIR))
    above_chin = np.arange(len(small))[:, None] < points[8, 1]
    if (wider & ~mask & above_chin).sum() > UNCERTAIN * (scale * unit) ** 2:
        return None
    matte = _matte(portrait, mask, unit)
    background = _filled(portrait, small, mask, matte, scale * unit)
    part = np.maximum(matte[..., None], np.float32(0.1))
    person = background + (portrait.astype(np.float32) - background) / part
    return Layers(_to_uint8(person), _to_uint8(255 * matte), background)


def blended(person: Image, matte: UInt8[np.ndarray, "height width"], background: Image) -> Image:
    """The person laid over the background, 255 in the matte = person alone."""
    frame = background.copy()
    cv2.copyTo(person, matte, frame)
    edge = np.flatnonzero(matte.ravel() - np.uint8(1) < 254)  # 1 to 254: few, so these alone are mixed
    part = matte.ravel()[edge, None].astype(np.float32) * np.float32(1 / 255)
    before, behind = (
        np.ascontiguousarray(image).reshape(-1, 3).take(edge, axis=0)[:, None]
        for image in (person, background)
    )
    mixed = cv2.blendLinear(before, behind, part, 1 - part)
    frame.reshape(-1, 3)[edge] = mixed[:, 0]
    return frame


def distance_between_eyes(landmarks: Float[np.ndarray, "68 2"]) -> float:
    """Pixels, between the means of each eye's six landmarks."""
    return float(np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0)))


def _cut_out(image: Image, landmarks: Float[np.ndarray, "68 2"], hair: float) -> Mask:
    """The person in a small picture, by GrabCut started with `hair` times the usual ellipse."""
    labels = _first_guess(image.shape[:2], landmarks, hair)
    cv2.setRNGSeed(0)  # its clustering starts at random
    models = np.zeros((2, 1, 65))
    cv2.grabCut(image, labels, NO_FRAME, models[0], models[1], ROUNDS, cv2.GC_INIT_WITH_MASK)
    is_person = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    is_person = _without_poles(is_person, landmarks)
    return _tidied(is_person, distance_between_eyes(landmarks))


def _first_guess(
    shape: tuple[int, ...], landmarks: Float[np.ndarray, "68 2"], hair: float
) -> UInt8[np.ndarray, "height width"]:
    """GrabCut's labels before its first round."""
    unit, eyes = distance_between_eyes(landmarks), landmarks[36:48].mean(0)
    along, down = _face_axes(landmarks)
    turn_degrees = float(np.degrees(np.arctan2(along[1], along[0])))

    def draw_ellipse(y: float, axes: tuple[float, float], label: int) -> None:
        centre = [round(float(x)) for x in eyes + y * unit * down]
        cv2.ellipse(labels, centre, [round(a * unit) for a in axes], turn_degrees, 0, 360, label, cv2.FILLED)

    def draw_trapezium(rows: tuple[tuple[float, float], ...], label: int) -> None:
        sides = [[eyes + unit * (sign * x * along + y * down) for x, y in rows] for sign in (-1, 1)]
        cv2.fillPoly(labels, [np.round(sides[0] + sides[1][::-1]).astype(np.int32)], label)

    labels = np.full(shape, cv2.GC_BGD, np.uint8)
    margin = max(2, round(MARGIN * max(shape)))
    labels[margin:-margin, margin:-margin] = cv2.GC_PR_BGD
    draw_trapezium(BODY, cv2.GC_PR_FGD)
    draw_ellipse(HAIR_Y * hair, (HAIR_AXES[0] * hair, HAIR_AXES[1] * (1 + hair) / 2), cv2.GC_PR_FGD)
    beside = np.abs(np.arange(shape[1]) - eyes[0]) > BESIDE * unit
    labels[: max(0, int(landmarks[8, 1])), beside] = cv2.GC_BGD
    draw_trapezium(NECK, cv2.GC_FGD)
    draw_ellipse(SKULL_Y, SKULL_AXES, cv2.GC_FGD)
    cv2.fillConvexPoly(labels, cv2.convexHull(np.round(landmarks).astype(np.int32)), cv2.GC_FGD)
    return labels


def _face_axes(landmarks: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "2 2"]:
    """Unit vectors across and down the face, in the picture."""
    down = (landmarks[8] - landmarks[27]) / np.linalg.norm(landmarks[8] - landmarks[27])
    return np.stack([[down[1], -down[0]], down])


def _without_poles(mask: Mask, landmarks: Float[np.ndarray, "68 2"]) -> Mask:
    """The mask without what is thin, above the chin and beyond the hair: poles, frames, cables."""
    unit = distance_between_eyes(landmarks)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    place = (np.stack([x, y], -1) - landmarks[36:48].mean(0)) @ _face_axes(landmarks).T / unit
    beyond = np.square((place - [0.0, HAIR_Y]) / HAIR_AXES).sum(-1) > 1.0
    size = 2 * round(THIN * unit / 2) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    thick = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, brush) > 0
    return mask & (thick | ~(beyond & (y < landmarks[8, 1])))


def _tidied(mask: Mask, unit: float) -> Mask:
    """The mask without specks, ragged edges and holes."""
    size = 2 * round(ROUGHNESS * unit) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), size, size, size, size, cv2.BORDER_REPLICATE)
    framed = cv2.morphologyEx(cv2.morphologyEx(framed, cv2.MORPH_CLOSE, brush), cv2.MORPH_OPEN, brush)
    smooth = np.ascontiguousarray(framed[size:-size, size:-size])
    _, labels, stats, _ = cv2.connectedComponentsWithStats(smooth)
    person = (smooth > 0) & (stats[:, cv2.CC_STAT_AREA] >= unit**2)[labels]
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~person).astype(np.uint8), connectivity=4)
    x, y, width, _, area = stats.T
    is_hole = (x > 0) & (y > 0) & (x + width < mask.shape[1]) & (area < 4 * unit**2)
    return person | is_hole[labels]


def _matte(
    portrait: Image, mask: Bool[np.ndarray, "rows columns"], unit: float
) -> Float[np.ndarray, "height width"]:
    """The mask of the small picture as a soft one of the portrait, which follows edges in it."""
    scale = min(1.0, EDGE_UNIT / unit)
    guide = cv2.cvtColor(_scaled(portrait, scale), cv2.COLOR_RGB2GRAY).astype(np.float32)
    size, soft = guide.shape[1::-1], SOFT * unit * scale
    fringe = 2 * round(FRINGE * unit * scale) + 1
    wanted = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    wanted = cv2.dilate(wanted, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (fringe, fringe)))
    window = 2 * round(soft) + 1, 2 * round(soft) + 1
    mean_guide, mean = cv2.blur(guide, window), cv2.blur(wanted, window)
    covariance = cv2.blur(guide * wanted, window) - mean_guide * mean
    slope = covariance / (cv2.blur(guide * guide, window) - mean_guide**2 + CONTRAST**2)
    matte = cv2.blur(slope, window) * guide + cv2.blur(mean - slope * mean_guide, window)
    matte = np.where(np.abs(cv2.blur(wanted, window) - 0.5) < 0.499, matte, wanted)
    matte = smoothstep((matte - 0.05) / 0.8).astype(np.float32)
    return cv2.resize(matte, portrait.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _filled(
    portrait: Image,
    small: Small,
    mask: Bool[np.ndarray, "rows columns"],
    matte: Float[np.ndarray, "height width"],
    unit: float,
) -> Image:
    """The background: continued into where the person stands; `unit` is the small picture's."""
    reach = 2 * round((ROUGHNESS + SOFT) * unit) + 1
    hidden = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8))
    filled = cv2.inpaint(small, hidden, 3, cv2.INPAINT_TELEA)
    filled = cv2.resize(filled, portrait.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    part = smoothstep(4 * matte)[..., None]
    return _to_uint8(portrait + part * (filled - portrait))


def _scaled(image: Image, scale: float) -> Small:
    """The image made smaller; itself at scale 1."""
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def _to_uint8(x: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)
