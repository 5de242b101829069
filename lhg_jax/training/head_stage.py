"""The second stage of a generative listener: trains a flow head on the residuals of a trained trunk.

The clips should be of speakers that the trunk was not trained on: its residuals on those are too small.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lhg_jax.config import TrainConfig, to_json
from lhg_jax.contract import RunIdentity
from lhg_jax.data.joined import open_sources
from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.generative import ListenerHead
from lhg_jax.listener_checkpoint import ListenerModel, load_listener, save_listener
from lhg_jax.models.flow_head import FlowHead, FlowHeadConfig, example_inputs
from lhg_jax.styles import TABLE
from lhg_jax.training.compiler import compiler_options
from lhg_jax.training.head_constants import measure
from lhg_jax.training.head_evaluation import HeadEvaluation
from lhg_jax.training.head_loss import ChunkStream, make_head_loss
from lhg_jax.training.hooks import Save
from lhg_jax.training.identity import check_same_run, run_identity, write_settings
from lhg_jax.training.listener_file import NAME
from lhg_jax.training.loop import Summary, open_workdir, run_with_hooks
from lhg_jax.training.many_steps import check_steps_per_call, many_steps
from lhg_jax.training.optimizer import make_optimizer
from lhg_jax.training.sharding import make_mesh, on_host, replicated
from lhg_jax.training.state import INIT_STREAM, STEP_STREAM, TrainState
from lhg_jax.training.step import update
from lhg_jax.training.trunk_features import TrunkFeatures, fingerprint, trunk_features
from lhg_jax.training.visualise import DrawFrames
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import duration


def train_head(config: TrainConfig, workdir: Path, draw_frames: DrawFrames | None = None) -> Summary:
    """Runs a configuration whose model is a flow head, from its newest save in `workdir` or from scratch."""
    if not config.start.listener:
        raise UserError("a flow head needs a trained listener (--config.start.listener=FILE)")
    trunk_file = Path(config.start.listener)
    trunk, source = load_listener(trunk_file), open_sources(config.data.train)
    held_out = open_source(config.data.evaluation) if config.data.evaluation else None
    trunk.require_features(config.data.train, source.features, "prepare clips like the trunk's")
    identity = head_identity(config, trunk, source, held_out)
    with open_workdir(config, identity, workdir) as checkpoints:
        folder, unseen = workdir / "trunk", config.head.unseen
        features = trunk_features(folder / "train", trunk, trunk_file, source, unseen)
        run = HeadRun(config, trunk, features)
        if held_out:
            valid = trunk_features(folder / "valid", trunk, trunk_file, held_out)
            run.evaluation = HeadEvaluation(run, valid, held_out)
        state, stream = run.fresh_state(), run.stream()
        if (restored := checkpoints.restore(jax.eval_shape(lambda: state))) is not None:
            state, place = restored
            stream.set_state(place)
        if int(state.step) < config.train.steps:
            write_settings(config, identity, workdir)
        save = Save(checkpoints, HeadFile(workdir, run, trunk_file, source), stream)
        return run_with_hooks(run, state, stream, save, workdir, draw_frames)


def head_identity(
    config: TrainConfig, trunk: ListenerModel, source: RecordSource, held_out: RecordSource | None
) -> RunIdentity:
    """As `run_identity`, with the trunk that `config` starts from."""
    trunk_file = Path(config.start.listener)
    return run_identity(config, source, held_out, trunk=fingerprint(trunk_file, trunk, source))


def check_head_workdir(config: TrainConfig, workdir: Path) -> None:
    """As `identity.check_workdir`, for a flow head."""
    source = open_sources(config.data.train)
    held_out = open_source(config.data.evaluation) if config.data.evaluation else None
    trunk = load_listener(Path(config.start.listener))
    check_same_run(head_identity(config, trunk, source, held_out), workdir)


class HeadRun:
    """The compiled step and evaluation of a flow head; what the loop needs (`loop.Steps`)."""

    evaluation: HeadEvaluation | None = None

    def __init__(self, config: TrainConfig, trunk: ListenerModel, features: TrunkFeatures):
        """Raises `UserError` where trunk and head do not fit together."""
        assert isinstance(config.model, FlowHeadConfig)
        if features.state.shape[1] != config.model.state:
            raise UserError(f"model.state={config.model.state}, but the trunk's is {features.state.shape[1]}")
        self.config, self.trunk, self.features = config, trunk, features
        self.mesh = make_mesh(config.train.fsdp)
        self.head = FlowHead(config.model)
        unit = np.asarray(trunk.variables["constants"]["motion_scale"]["std"], np.float64)
        weight = np.ones(len(unit))
        weight[trunk.space.slice("angle")] = config.head.pose_weight
        measured = measure(features, unit, weight, config.model)
        self.share = measured.share
        self._constants = {name: jnp.asarray(x) for name, x in measured.constants._asdict().items()}
        self.optimizer = make_optimizer(config.optimizer, config.train.steps)
        self.key = jax.random.fold_in(jax.random.key(config.train.seed), STEP_STREAM)
        options = compiler_options(self.mesh.devices.flat[0].platform)
        self.loss = make_head_loss(self.head, self._constants, measured.importance, config.head)
        check_steps_per_call(config)
        steps = many_steps(self._step, config.train.steps_per_call)
        self.step = jax.jit(steps, donate_argnums=0, compiler_options=options)

    def _step(self, state, batch, key):
        ema = self.config.optimizer.ema_decay
        return update(state, batch, key, loss_fn=self.loss, optimizer=self.optimizer, ema_decay=ema)

    def flops(self) -> int:
        """Not counted."""
        return 0

    def peak_flops(self) -> None:
        """Without a count no share of it is shown."""

    def stream(self, features: TrunkFeatures | None = None, size: int | None = None) -> ChunkStream:
        """Batches of chunks of the training clips, or of others."""
        loop = self.config.train
        size = size or loop.batch_size
        return ChunkStream(features or self.features, self.head.config, batch_size=size, seed=loop.seed)

    def fresh_state(self) -> TrainState:
        """The state before the first step, on every device."""
        key = jax.random.fold_in(jax.random.key(self.config.train.seed), INIT_STREAM)

        def init():
            variables = self.head.init(key, *example_inputs(self.head.config))
            params, zero = variables["params"], jnp.zeros((), jnp.int32)
            copy = jax.tree.map(jnp.copy, params)
            return TrainState(
                zero, params, {}, self._constants, self.optimizer.init(params), copy, zero, zero
            )

        return jax.jit(init, out_shardings=replicated(self.mesh))()

    def own(self, state: TrainState) -> ListenerHead:
        """The averaged head with the training set's styles."""
        variables = {"params": state.ema_params, "constants": state.constants}
        step = -(-len(self.features.codes) // TABLE)
        return ListenerHead(self.head, on_host(variables, self.mesh), self.features.codes[::step])


class HeadFile:
    """The listener with its head as one file, written anew with each save; stands in for `ListenerFile`."""

    def __init__(self, workdir: Path, run: HeadRun, trunk_file: Path, source: RecordSource):
        self._path, self._run = workdir / NAME, run
        self._clips = f"{len(source)} clips ({duration(3600 * source.metadata.hours)})"
        self._trunk_file = trunk_file

    def write(self, state: TrainState) -> None:
        """Trunk and averaged head after `state.step` steps."""
        from lhg_jax.weights import load_weights

        own = self._run.own(state)
        if jax.process_index() == 0:
            _, notes = load_weights(self._trunk_file)
            trunk = dataclasses.replace(self._run.trunk, head=own)
            added = {
                "head_training": f"{state.step} steps on {self._clips}",
                "head_settings": to_json(self._run.config),
                "head_share": f"{self._run.share:.4f}",
            }
            kept = {name: notes[name] for name in ("training", "settings") if name in notes}
            save_listener(self._path, trunk, kept | added)
