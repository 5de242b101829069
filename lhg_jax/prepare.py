"""`python -m lhg_jax.prepare`: conversations -> a folder of clips that training reads, and TFDS.

--source synthetic --hours 2     simulated dyads, which need no data; --speech DIR: with recorded voices
--source vico --root DIR         ViCo as published: the challenge's layout or the full data set
--source folder --root DIR       NAME.speaker.mp4 and NAME.listener.mp4
--source folder --layout side-by-side   recorded calls: two faces in one picture, a channel for each voice
--source ami --root DIR          the AMI Meeting Corpus: annotations, headsets and close-up videos
--source seamless --root DIR     Seamless Interaction, unpacked or in its shards; --part 3 100: a share of it

Interrupted preparations go on where they stopped: finished clips are not made again.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lhg_jax.faces.tracker_options import SpaceOptions
from lhg_jax.preparation.speech_options import SpeechOptions
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.util.cli import UNSET, Group, Maybe, parse
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.lock import locked
from lhg_jax.util.progress import console
from lhg_jax.util.workers import available_cores

if TYPE_CHECKING:
    from lhg_jax.preparation.clip_files import LeftOut, Listing
    from lhg_jax.preparation.clip_jobs import Job
    from lhg_jax.preparation.excerpts import ExcerptListing
    from lhg_jax.preparation.extraction import Recipe

CLIPS = ".clips"  # folder of finished clips inside the output, while it is being made


@dataclasses.dataclass(frozen=True)
class Options:
    """Prepares clips for training: the speaker's features and both people's motion, in ArrayRecord shards."""

    out: Path
    """Folder of the data set; created where it does not exist."""
    source: Literal["synthetic", "vico", "folder", "ami", "seamless"] = "synthetic"
    """Where clips come from: `synthetic` dyads need no data."""
    root: Maybe[Path] = None
    """vico, folder, ami, seamless: the data as they are."""
    layout: Literal["pairs", "side-by-side"] = "pairs"
    """folder: `pairs` of NAME.speaker.mp4 and NAME.listener.mp4, or calls that are cut by voice activity:
    NAME.mp4 with both people `side-by-side` (or NAME.left.mp4 and NAME.right.mp4), each on a channel."""
    part: tuple[int, int] = (0, 1)
    """seamless: this process's share of the conversations, e.g. `3 100`: number 3, from 0, of 100. Each share
    has an --out of its own; training takes them all, with commas between."""
    hours: float = 2.0
    """synthetic: length of all clips together, about, > 0."""
    seed: int = 0
    """synthetic: of the simulator, >= 0."""
    speech_cache: Maybe[Path] = None
    """with --speech or --layout side-by-side: folder of the analysed recordings; default: beside --out."""
    recordings: Group[SpeechOptions] = dataclasses.field(default_factory=SpeechOptions)
    listeners: Literal["varied", "constant"] = "varied"
    """synthetic: people who differ and vary, or one that keeps fixed rules, by which models can be probed."""
    takes: int = 1
    """synthetic: clips with the same speaker, each with another varied listener; --hours counts them all."""
    silence: float = 0.0
    """synthetic: share of clips in which nobody speaks, 0-1, beside those that the simulator has anyway."""
    noise: Maybe[tuple[float, float]] = None
    """synthetic: quietest and loudest noise of the rooms, dB re full scale, e.g. `-70 -30`; default: -70
    to -45, rooms that are hardly heard."""
    split: Literal["train", "valid", "test"] = "train"
    """synthetic, folder: the split all clips belong to. No two splits share a synthetic dyad."""
    splits: Annotated[dict[str, str], UNSET] = dataclasses.field(default_factory=dict)
    """vico: further names of splits there, and what they are: `--splits held_out test`; ami: of meetings."""
    coefficients: Maybe[Path] = None
    """vico, folder: .mat or .npz files in place of tracking, named like the videos."""
    transcripts: Maybe[Path] = None
    """vico: transcripts in place of recognition, named like the clips or their sound."""
    tracking: Group[SpaceOptions] = dataclasses.field(default_factory=SpaceOptions)
    words: Group[WordOptions] = dataclasses.field(default_factory=WordOptions)
    audio: Literal["full", "vico_compat"] = "full"
    """vico, folder, ami: `vico_compat` puts the ViCo baseline's audio features in the place of the MFCC."""
    causal: bool = False
    """Features that hear no future, for listeners that stream (live sessions)."""
    workers: int = 0
    """Processes; 0: one for each core."""
    runner: Maybe[str] = None
    """Make the clips on Apache Beam with this runner, e.g. DirectRunner; its workers see the same paths."""
    runner_options: Annotated[tuple[str, ...], UNSET] = ()
    """Of the runner, as Beam spells them: `--runner-options=--direct_num_workers=4`."""


def prepare(options: Options) -> None:
    """Makes the clips that are missing, then the data set.

    Raises `UserError` for options without sense, and where another process prepares the same folder.
    """
    from lhg_jax.preparation import dataset, report

    plan = make_plan(options)
    clips = options.out / CLIPS
    if dataset.is_complete(options.out, plan.jobs):
        console.print(f"{options.out}: is prepared already", soft_wrap=True)
        report.print_left_out(plan.left_out, console)
        return
    dataset.require_same_origin(options.out, plan.origin, plan.seed)
    try:
        clips.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{options.out}: cannot be created ({error.strerror})") from error
    with locked(clips, "--out"):
        _make(options, plan, clips)


def _make(options: Options, plan: "Plan", clips: Path) -> None:
    """Makes clips in their folder, then the data set of them."""
    from lhg_jax.preparation import clip_jobs, dataset, report
    from lhg_jax.preparation.clip_files import LeftOut

    dataset.reuse_clips(options.out, plan.jobs, clips)
    if options.runner:
        clip_jobs.make_clips_on_beam(plan.jobs, clips, options.runner, options.runner_options)
    else:
        seconds = clip_jobs.make_clips(plan.jobs, clips, options.workers or available_cores())
        report.print_seconds(seconds, console)
    reasons = [(job.uuid, clip_jobs.left_out_reason(job, clips)) for job in plan.jobs]
    left_out = [*plan.left_out, *(LeftOut(uuid, reason) for uuid, reason in reasons if reason)]
    try:
        data = dataset.write_dataset(options.out, plan.name, plan.jobs, clips, plan.origin, plan.seed)
    except UserError:
        report.print_left_out(left_out, console)
        clip_jobs.remove_if_empty(clips, options.out)
        raise
    summary = report.summarise(data, left_out)
    report.save_report(data, summary)
    report.print_summary(summary, options.out, console)
    clip_jobs.remove_clips(clips)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be made.

    Attributes:
      name: of the data set, for TFDS.
      origin, seed: `source` and `seed` of `records.Metadata`.
      jobs: the clips.
      left_out: what cannot be used, known from the names of the files alone.
    """

    name: str
    origin: str
    seed: int
    jobs: Sequence["Job"]
    left_out: Sequence["LeftOut"]


def make_plan(options: Options) -> Plan:
    """Lists the clips of the source."""
    if options.hours <= 0 or options.seed < 0 or options.workers < 0:
        raise UserError("prepare: --hours must be positive, --seed and --workers not negative")
    if options.causal and options.audio != "full":
        raise UserError(
            "--causal: the ViCo baseline's audio features (--audio vico_compat) have no causal form"
        )
    options.words.check()
    if options.part != (0, 1) and options.source != "seamless":
        raise UserError("--part: is for --source seamless")
    if options.source == "synthetic":
        for name in ("root", "coefficients", "transcripts", "splits"):
            if getattr(options, name):
                raise UserError(f"--{name}: is for real people's data (--source), not for synthetic dyads")
        if options.tracking != SpaceOptions():
            raise UserError("--tracker, --tracker-weights, --space: synthetic dyads have no faces to track")
        return _plan_synthetic(options)
    if options.root is None:
        raise UserError(f"--source {options.source} needs --root DIR, the folder of the data")
    for path in (options.coefficients, options.transcripts):
        if path is not None and not path.is_dir():
            raise UserError(f"{path}: no such folder")
    planners = {"vico": _plan_vico, "folder": _plan_folder, "ami": _plan_ami, "seamless": _plan_seamless}
    return planners[options.source](options, options.root)


def _plan_synthetic(options: Options) -> Plan:
    from lhg_jax.preparation.synthetic_clips import check_dyads, synthetic_jobs
    from lhg_jax.simulator.dyads import split_seed

    check_dyads(
        options.listeners, options.takes, options.silence, options.noise
    )  # before minutes of recordings
    heard = options.recordings
    voices, left_out = heard.voices(options.split, *_cache_and_workers(options))
    origin = f"synthetic, {heard.speech.resolve()}" if heard.speech is not None else "synthetic"
    shares = heard.speech_share, options.listeners, options.takes, options.silence
    jobs = synthetic_jobs(options.hours, options.seed, options.split, voices, *shares)
    known, encoder = options.words.asr != "none", options.words.word_encoder
    jobs = [
        dataclasses.replace(
            job, causal=options.causal, transcribed=known, word_encoder=encoder, noise_db=options.noise
        )
        for job in jobs
    ]
    return Plan("synthetic_dyads", origin, split_seed(options.seed, options.split), jobs, left_out)


def _cache_and_workers(options: Options) -> tuple[Path, int]:
    cache = options.speech_cache or options.out.with_name(f"{options.out.name}.speech")
    return cache, options.workers or available_cores()


def _plan_vico(options: Options, root: Path) -> Plan:
    from lhg_jax.preparation.vico import read_vico

    listing = read_vico(root, options.coefficients, options.transcripts, options.splits)
    return _plan_media("vico", root, listing, options)


def _plan_folder(options: Options, root: Path) -> Plan:
    if options.layout == "side-by-side":
        from lhg_jax.preparation.calls import read_calls

        if options.coefficients is not None:
            raise UserError("--coefficients: is not for --layout side-by-side, whose faces are tracked")
        listing = read_calls(root, options.split, *_cache_and_workers(options))
        return _plan_excerpts("calls", root, listing, options)
    from lhg_jax.preparation.folder import read_folder

    return _plan_media("dyads", root, read_folder(root, options.split, options.coefficients), options)


def _plan_media(name: str, root: Path, listing: "Listing", options: Options) -> Plan:
    from lhg_jax.preparation.extraction import MediaJob

    recipe = _recipe(options)
    jobs = [MediaJob.plan(clip, recipe) for clip in listing.clips]
    return Plan(name, str(root.resolve()), -1, jobs, listing.left_out)


def _plan_ami(options: Options, root: Path) -> Plan:
    from lhg_jax.preparation.ami import read_ami

    return _plan_excerpts("ami", root, read_ami(root, options.splits), options)


def _plan_seamless(options: Options, root: Path) -> Plan:
    from lhg_jax.preparation.seamless import read_seamless
    from lhg_jax.preparation.seamless_files import Share

    index, count = options.part
    if not 0 <= index < count:
        raise UserError(f"--part {index} {count}: wants a number from 0 to {count - 1}, and of how many")
    return _plan_excerpts("seamless", root, read_seamless(root, Share(index, count)), options)


def _plan_excerpts(name: str, root: Path, listing: "ExcerptListing", options: Options) -> Plan:
    from lhg_jax.preparation.excerpts import ExcerptJob

    recipe = _recipe(options)
    jobs = [ExcerptJob.plan(excerpt, recipe) for excerpt in listing.excerpts]
    return Plan(name, str(root.resolve()), -1, jobs, listing.left_out)


def _recipe(options: Options) -> "Recipe":
    from lhg_jax.preparation.extraction import Recipe

    options.tracking.load()  # its errors come before the first clip
    return Recipe(options.words, options.audio, options.causal, options.tracking)


def main() -> None:
    """Parses the command line and prepares."""
    prepare(parse(Options, "python -m lhg_jax.prepare", __doc__))


if __name__ == "__main__":
    run_cli(main)
