"""The compiled parts of a run: model, optimiser, step and evaluation on a mesh of devices."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from lhg_jax.config import StartConfig, TrainConfig
from lhg_jax.contract import Example
from lhg_jax.data.pipeline import crop
from lhg_jax.data.records import RecordSource
from lhg_jax.data.schema import stack
from lhg_jax.losses.groups import in_groups
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.models.listener import Listener, ListenerConfig
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener
from lhg_jax.training.compiler import LANES, compiler_options
from lhg_jax.training.evaluation import Evaluation
from lhg_jax.training.flops import count_flops, peak_flops
from lhg_jax.training.identity import check_clips
from lhg_jax.training.many_steps import check_steps_per_call, many_steps
from lhg_jax.training.noise import make_noise
from lhg_jax.training.objective import Wrap, count_groups, make_objective
from lhg_jax.training.optimizer import make_optimizer
from lhg_jax.training.sharding import (
    abstract_sharded,
    create_sharded,
    group_sharding,
    make_mesh,
    replicated,
    state_sharding,
)
from lhg_jax.training.state import STEP_STREAM, TrainState, init_state
from lhg_jax.training.step import train_step
from lhg_jax.training.warm_start import start_variables, with_variables
from lhg_jax.util.errors import UserError


def build_model(config: ListenerConfig | ViCoConfig, lanes: int = 0) -> nn.Module:
    """The module that goes with a model's settings, laid out for a device with so many `lanes`."""
    return ViCoListener(config) if isinstance(config, ViCoConfig) else Listener(config, lanes)


class TrainingSetup:
    """What `config` says, ready to be called on the clips of `source` and `held_out`."""

    def __init__(
        self,
        config: TrainConfig,
        source: RecordSource,
        held_out: RecordSource | None,
        devices: Sequence[jax.Device] | None = None,
    ):
        """On all devices, or those given, which need not exist if nothing is run (tools/tpu_compile.py).

        Raises `UserError` for settings and data that do not fit together.
        """
        assert not isinstance(config.model, FlowHeadConfig)  # training/head_stage.py's
        groups = count_groups(config)
        self.mesh: Mesh = make_mesh(config.train.fsdp, devices, groups)
        check_batch(config, self.mesh.size)
        check_steps_per_call(config)
        check_clips(config, source, held_out)
        check_best(config)
        self.config, self.source, self.held_out = config, source, held_out
        platform = self.mesh.devices.flat[0].platform
        self.model = build_model(config.model, LANES.get(platform, 0))
        self._unfolded_model = build_model(config.model)
        self.optimizer = make_optimizer(config.optimizer, config.train.steps)
        self.negatives = self._negatives(groups)
        self._train_step = functools.partial(
            train_step,
            model=self.model,
            objective=make_objective(config.loss, source.space, self.negatives),
            optimizer=self.optimizer,
            ema_decay=config.optimizer.ema_decay,
            micro_batches=config.train.micro_batches,
            add_noise=make_noise(config.augment),
        )
        options = compiler_options(platform)
        steps = many_steps(self._laid_out_step, config.train.steps_per_call)
        self.step = jax.jit(steps, donate_argnums=0, compiler_options=options)
        self.evaluation = Evaluation(config, self.model, self.mesh, held_out) if held_out else None

    @functools.cached_property
    def key(self) -> PRNGKeyArray:
        """The run's key of its steps."""
        # Made on the mesh: with several processes an array of one of them cannot be put on all devices.
        return jax.jit(self._create_key, out_shardings=replicated(self.mesh))()

    def init_state(self) -> TrainState:
        """The state before the first step, spread over the mesh. Raises `UserError` for unfit weights."""
        if self.config.start == StartConfig():
            return create_sharded(self._create_state, self.mesh)
        found = start_variables(self.config, self.source.features, self.abstract_state().eval_variables)
        return with_variables(create_sharded(self._create_state, self.mesh), found, self.mesh)

    def abstract_state(self) -> TrainState:
        """Shapes and layout of the state, to restore a save into."""
        return abstract_sharded(self._create_state, self.mesh)

    def abstract_key(self) -> jax.ShapeDtypeStruct:
        """Shape and layout of `key`, without making it."""
        key = jax.eval_shape(self._create_key)
        return jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(self.mesh))

    def flops(self) -> int:
        """Model FLOPs of one step, whatever is computed besides to save memory or fill lanes."""
        size = self.config.train.batch_size
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), self._example)
        step = functools.partial(self._train_step, model=self._unfolded_model, micro_batches=1)
        return count_flops(step, self.abstract_state(), batch, self.abstract_key())

    def peak_flops(self) -> float | None:
        """FLOP/s of all devices together; None where it is not known."""
        peak = peak_flops(self.mesh.devices.flat[0].device_kind)
        return peak and peak * self.mesh.size

    def _laid_out_step(self, state, batch, key):
        """The step, with its results where the next one expects them."""
        state, metrics = self._train_step(state, batch, key, remat=self.config.train.remat)
        return jax.lax.with_sharding_constraint(
            (state, metrics),
            (state_sharding(self.mesh, state), jax.tree.map(lambda _: replicated(self.mesh), metrics)),
        )

    def _negatives(self, groups: int) -> Wrap:
        """The contrastive loss with its negatives from groups of clips, each on neighbouring devices."""
        if groups == 1:
            return lambda loss: loss
        sharding = group_sharding(self.mesh, groups)
        place = functools.partial(jax.lax.with_sharding_constraint, shardings=sharding)
        return functools.partial(in_groups, groups=groups, place=place)

    def _create_key(self) -> PRNGKeyArray:
        return jax.random.fold_in(jax.random.key(self.config.train.seed), STEP_STREAM)

    def _create_state(self) -> TrainState:
        """The data give shapes and motion statistics."""
        mean, std = (np.asarray(x, np.float32) for x in (self.source.metadata.mean, self.source.metadata.std))
        seed = self.config.train.seed
        return init_state(self.model, self.optimizer, stack([self._example], 1), seed, mean, std)

    @functools.cached_property
    def _example(self) -> Example:
        """A crop."""
        return crop(self.source[0], 0, self.config.data.crop_frames)


def check_batch(config: TrainConfig, devices: int) -> None:
    """Raises `UserError` where the batch does not divide into equal parts."""
    loop = config.train
    if loop.micro_batches < 1 or loop.batch_size % (devices * loop.micro_batches):
        raise UserError(
            f"train.batch_size={loop.batch_size} does not divide by {devices} devices x "
            f"train.micro_batches={loop.micro_batches}"
        )
    if config.data.eval_batch_size % devices:
        raise UserError(
            f"data.eval_batch_size={config.data.eval_batch_size} does not divide by {devices} devices"
        )


def check_best(config: TrainConfig) -> None:
    """Raises `UserError` where the best save is asked for and nothing is evaluated."""
    if config.checkpoint.best and not config.data.evaluation:
        raise UserError(f"checkpoint.best={config.checkpoint.best} needs held-out clips (data.evaluation)")
