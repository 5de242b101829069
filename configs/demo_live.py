"""The demo listener that streams, for live sessions: it hears and sees, and knows nothing of what comes next.

Reproduces: lhg_jax/assets/demo_live.safetensors. Sizes are those of configs/demo.py, in
one direction and without words, which a live session does not have.
Command:
  make demo-live-model SPEECH=DIR
trains it twice with configs/demo_live.py: on listeners who vary, then on one who keeps rules.
Time: an hour on two CPU cores that did much other work as well.
Expected score: lhg_jax/assets/demo_model_card.md, row "demo, live".
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

demo = load_config(Path(__file__).with_name("demo.py"))
config = dataclasses.replace(
    demo,
    model=dataclasses.replace(
        demo.model,
        bidirectional=False,
        look_ahead=0,  # a frame hears 48 ms past its middle as it is: half a window and one frame
        memory_s=8.0,
        use_text=False,
    ),
    data=dataclasses.replace(demo.data, train="out/live/train", evaluation="out/live/valid"),
    train=dataclasses.replace(demo.train, steps=1500),
    # Without words no frame is an anchor of Eq. 2.
    loss=dataclasses.replace(demo.loss, contrastive="none", contrastive_weight=0.0),
    augment=dataclasses.replace(demo.augment, drop_words=0.0, drop_motion=0.3),
)
