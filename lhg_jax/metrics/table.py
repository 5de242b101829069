"""What each metric is called in print, which way is better, and what it measures; tables as LaTeX."""

import dataclasses
import os
from collections.abc import Mapping

from lhg_jax.metrics.leaderboard import LISTENING, Leaderboard, Row, is_missing
from lhg_jax.util.atomic import replacing

TRACKER = "landmark (dlib 68 points, spectral face model)"
EXP_UNIT = "interocular distances"
POSE_UNIT = "rad and interocular distances together"


@dataclasses.dataclass(frozen=True)
class Description:
    """A metric for people: `better` is 'higher', 'lower', or '' where neither is."""

    label: str
    better: str
    what: str


def _motion_descriptions() -> dict[str, Description]:
    found: dict[str, Description] = {}
    for group, title, unit in (("exp", "Exp", EXP_UNIT), ("pose", "Pose", POSE_UNIT)):
        by = unit
        found |= {
            f"{group}_l1": Description(f"{title}L1", "lower", f"mean absolute difference; {by}"),
            f"{group}_frechet": Description(
                f"{title}FD", "lower", f"Fréchet distance (squared) of per-frame coefficients; {by}"
            ),
            f"{group}_paired_frechet": Description(
                f"{title} P-FD", "lower", f"Fréchet distance of (listener, speaker) coefficients; {by}"
            ),
            f"{group}_sid": Description(f"{title} SID", "", f"Shannon index of motion clusters, bits; {by}"),
            f"{group}_variance": Description(f"{title} variance", "", f"along time, squared units; {by}"),
            f"{group}_jitter": Description(f"{title} jitter", "", f"mean absolute jerk, units/s³; {by}"),
            f"{group}_rpcc": Description(
                f"{title} rPCC", "lower", f"difference in correlation with the speaker; {by}"
            ),
            f"{group}_fd_video": Description(
                f"{title} FD (video)",
                "lower",
                f"Fréchet distance of each video's frames, mean over videos; {by}",
            ),
            f"{group}_pfd_video": Description(
                f"{title} P-FD (video)", "lower", f"the same of (listener, speaker) vectors; {by}"
            ),
            f"{group}_var_flat": Description(
                f"{title} Var (flat)", "", f"variance of all coefficients of all frames as one array; {by}"
            ),
            f"{group}_rpcc_pooled": Description(
                f"{title} rPCC (pooled)", "lower", f"one correlation over all flattened videos; {by}"
            ),
            f"{group}_rpcc_video": Description(
                f"{title} rPCC (video)", "lower", f"one correlation a flattened video, mean over videos; {by}"
            ),
        }
    return found


def _reaction_descriptions() -> dict[str, Description]:
    found: dict[str, Description] = {}
    for kind in ("nod", "shake"):
        title = kind.capitalize()
        found |= {
            f"{kind}_r_f1": Description(f"{title} R-F1", "higher", "F1 of events that overlap by tIoU ≥ 0.5"),
            f"{kind}_r_tiou": Description(f"{title} R-tIoU", "higher", "mean overlap of events that match"),
            f"{kind}_r_atd": Description(
                f"{title} R-ATD", "lower", "deviation in time of events that match, early counts more"
            ),
        }
        found |= {
            f"{kind}_label_{name}": dataclasses.replace(
                about, label=f"{about.label} (labels)", what=f"{about.what}; against what people labelled"
            )
            for name, about in ((name, found[f"{kind}_{name}"]) for name in ("r_f1", "r_tiou", "r_atd"))
        }
    return found | {
        "reactivity_gain": Description(
            "Reactivity",
            "higher",
            "what the speaker's last second adds to the prediction of the listener, log",
        ),
        "reactivity_net": Description("Reactivity, net", "higher", "the same above that of shifted speakers"),
        "reactivity_p": Description(
            "Reactivity, p", "lower", "share of 100 shifted speakers that do as well"
        ),
    }


DESCRIPTIONS = {
    "ssim": Description("SSIM", "higher", "whole frames, RGB, as piq; against the true video"),
    "psnr": Description("PSNR", "higher", "dB, at most 80; whole frames, mean over frames"),
    "cpbd": Description("CPBD", "higher", "sharpness of the prediction, 0 to 1; grey whole frames"),
    "fid": Description("FID", "lower", "Inception v3 features of whole frames, exact matrix root"),
    "fid_newton_schulz": Description("FID (piq's root)", "lower", "as the official script, stops early"),
    "csim": Description("CSIM", "higher", "ArcFace r100, whole frames"),
    "csim_dlib": Description(
        "CSIM (dlib)", "higher", "cosine of dlib embeddings of aligned faces, every 15th frame"
    ),
    **_motion_descriptions(),
    **_reaction_descriptions(),
}


def describe(name: str) -> Description:
    """Of a metric; a probe of the simulator's rules is described by its own name."""
    probe = Description(
        name.removeprefix("probe_").replace("_", " "), "", "rule of the simulator (simulator/rule_scores.py)"
    )
    return DESCRIPTIONS.get(name, probe)


def number(value: float | None, missing: str = "–") -> str:
    """A value as printed: four significant digits."""
    return missing if value is None or is_missing(value) else f"{value:#.4g}".rstrip(".")


def score_text(board: Leaderboard, team: str, missing: str = "–") -> str:
    """A team's score as printed: a dash where it has nobody to compare with."""
    score = board.score(team)
    return missing if score is None else str(score)


def write_latex(path: str | os.PathLike, rows: Mapping[str, Row], board: Leaderboard) -> None:
    """The nine official metrics and the score of all rows as a booktabs table; missing numbers are dashes."""
    arrows = {"larger": r"$\uparrow$", "smaller": r"$\downarrow$", "zero": ""}
    head = " & ".join(f"{metric.label}{arrows[metric.better]}" for metric in LISTENING)
    lines = [
        r"% Needs \usepackage{booktabs}. Score: rank sum over the metrics that every row has: "
        + (", ".join(board.used) or "none"),
        rf"\begin{{tabular}}{{l{'r' * len(LISTENING)}r}}",
        r"\toprule",
        rf"Method & {head} & Score$\downarrow$ \\",
        r"\midrule",
        *(_latex_row(team, rows[team], board) for team in board.scores),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _latex_row(team: str, row: Row, board: Leaderboard) -> str:
    cells = [number(row.get(metric.name), missing="--") for metric in LISTENING]
    return " & ".join([_escape(team), *cells, score_text(board, team, missing="--")]) + r" \\"


def _escape(text: str) -> str:
    plain = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(plain.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
