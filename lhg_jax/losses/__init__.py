"""Loss functions by the names that configs use; a new loss is a function and a line here."""

from lhg_jax.losses import contrastive, motion
from lhg_jax.losses.base import LossValue

CONTRASTIVE = {
    "paper": contrastive.paper,
    "ha2g": contrastive.ha2g,
    "infonce": contrastive.infonce,
    "siglip": contrastive.siglip,
    "word": contrastive.word,
    "temporal": contrastive.temporal,
    "none": contrastive.none,
}

MOTION = {
    "paper": motion.paper,
    "vico": motion.vico,
    "squared": motion.squared,
    "huber": motion.huber,
    "l2_accel": motion.l2_accel,
}
