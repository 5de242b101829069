"""Folders of runs as tools/evidence_scores.py leaves them."""

import json
import sys
from pathlib import Path

from training_configs import make_config

from lhg_jax.config import to_json

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import evidence_scores
import sweep
import sweep_table


def scored(out, name, seed, *, nods=0.5, top_1=None):
    """A finished run with scores of three clips of two speakers."""
    folder = sweep.folder(out, name, seed)
    folder.mkdir(parents=True)
    sweep_table.write_result(folder, name, seed, {}, 6.0)
    (folder / "config.json").write_text(to_json(make_config(out)))
    lines = [{"kind": "eval", "step": step, "pose_l1": 1 / step, "exp_l1": None} for step in (1, 2 + seed)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    scores = {
        "name": name,
        "seed": seed,
        "minutes": 6.0,
        "training": "5 steps",
        "hashes": evidence_scores.hashes(folder),
        "clips": {"nod_f1": [nods, nods + 0.2, None], "pose_l1": [0.1, 0.2, 0.3]},
        "pooled": {"exp_frechet": 0.25},
        "speakers": ["ann", "bob", "bob"],
        "retrieval": {"top_1": top_1, "chance_1": 0.02, "top_5": 0.5, "chance_5": 0.1} if top_1 else {},
        "clips_of": "f00",
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder
