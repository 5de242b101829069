"""The paper's listener, its audio encoder started from HA2G's official weights.

Reproduces: configs/lhg_base.py with levels of HA2G's size and the log-mel as HA2G takes it.
Command:
  python -m lhg_exporters.convert_weights --weights CHECKPOINT.bin --output ha2g.safetensors
  python -m lhg_jax.train --config configs/lhg_ha2g.py --workdir out/lhg_ha2g
after the two `prepare` commands of configs/lhg_base.py. docs/weights.md names the checkpoint.
Time: not yet measured (meant for an accelerator). Expected score: not yet measured.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import StartConfig, load_config

base = load_config(Path(__file__).with_name("lhg_base.py"))
config = dataclasses.replace(
    base,
    model=dataclasses.replace(base.model, level_size=32, mel_offset_db=0.0, mel_scale_db=1.0),
    start=StartConfig(audio_encoder="ha2g.safetensors"),
)
