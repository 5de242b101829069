"""The metrics of the evidence tables: where they are in `scores.json`, and what they are called."""

from typing import NamedTuple


class Column(NamedTuple):
    """One metric: where it is in `scores.json`, its head, and which way is better ('' where neither is)."""

    part: str
    name: str
    label: str
    better: str = ""


RULES = (
    Column("clips", "nod_f1", "nod F1", "↑"),
    Column("clips", "shake_f1", "shake F1", "↑"),
    Column("clips", "smile_correlation", "smile", "↑"),
    Column("clips", "mirror_correlation", "mirroring", "↑"),
    Column("clips", "blink_recall", "blinks", "↑"),
    Column("clips", "exp_l1", "ExpL1", "↓"),
    Column("clips", "pose_l1", "PoseL1", "↓"),
)
POOLED = (
    Column("pooled", "exp_frechet", "ExpFD", "↓"),
    Column("pooled", "pose_frechet", "PoseFD", "↓"),
    Column("pooled", "reactivity_net", "reactivity, net", "↑"),
    Column("pooled", "reactivity_p", "p", "↓"),
    Column("pooled", "nods_per_min", "nods/min"),
    Column("pooled", "speed", "°/s"),
)
NEWER = (
    Column("pooled", "exp_fd_video", "Exp FD (video)", "↓"),
    Column("pooled", "pose_fd_video", "Pose FD (video)", "↓"),
    Column("pooled", "exp_pfd_video", "Exp P-FD", "↓"),
    Column("pooled", "pose_pfd_video", "Pose P-FD", "↓"),
    Column("pooled", "exp_rpcc_video", "Exp rPCC", "↓"),
    Column("pooled", "pose_rpcc_video", "Pose rPCC", "↓"),
    Column("pooled", "exp_variance", "Exp Var ratio"),
    Column("pooled", "pose_variance", "Pose Var ratio"),
    Column("pooled", "exp_sid", "Exp SID ratio"),
    Column("pooled", "pose_sid", "Pose SID ratio"),
    Column("pooled", "nod_r_f1", "nod R-F1", "↑"),
    Column("pooled", "shake_r_f1", "shake R-F1", "↑"),
    Column("pooled", "frdiv", "FRDiv"),
)
RETRIEVAL = (
    Column("retrieval", "top_1", "top 1", "↑"),
    Column("retrieval", "chance_1", "chance"),
    Column("retrieval", "top_5", "top 5", "↑"),
    Column("retrieval", "chance_5", "chance"),
    Column("retrieval", "items", "words"),
)
BAR = ("pose_l1", "nod_f1", "shake_f1")  # in which paper and baseline should differ beyond chance
