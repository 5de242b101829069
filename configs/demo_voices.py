"""The demo listener's second stage: it goes on with human voices and with listeners who vary.

Half of the clips are those of the first stage, so that its rules are not forgotten.

Reproduces: the mean listener in lhg_jax/assets/demo.safetensors.
Command:
  make demo-model SPEECH=DIR
or, when the first stage is done and clips are prepared (see the Makefile),
  python -m lhg_jax.train --config configs/demo_voices.py --workdir out/demo_voices \
    --config.start.listener=out/demo/listener.safetensors
Time: 24 minutes on two CPU cores that did other work as well.
Expected score: lhg_jax/assets/demo_model_card.md, "The mean listener".
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

demo = load_config(Path(__file__).with_name("demo.py"))
config = dataclasses.replace(
    demo,
    data=dataclasses.replace(
        demo.data,
        train="out/synthetic/voices_train,out/synthetic/train",
        evaluation="out/synthetic/voices_valid",
    ),
    train=dataclasses.replace(demo.train, steps=1800),
    optimizer=dataclasses.replace(demo.optimizer, learning_rate=2e-3),
    augment=dataclasses.replace(demo.augment, drop_motion=0.3),  # many have nothing but sound
)
