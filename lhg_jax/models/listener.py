"""The listener: speaker features and a listener's first frame in, the listener's motion out (paper §4)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lhg_jax.contract import AnyArray, ListenerOutput, SpeakerFeatures
from lhg_jax.features import Size, mel_steps
from lhg_jax.models import stream
from lhg_jax.models.audio_encoder import LEVELS, AudioEncoder, LevelArrays
from lhg_jax.models.decoder import MotionDecoder
from lhg_jax.models.fusion import AudioFusion, CrossModalFusion
from lhg_jax.models.motion_scale import MotionScale
from lhg_jax.models.resnet_se import BatchNorm, Mask
from lhg_jax.models.text_encoder import TextEncoder
from lhg_jax.motion import FRAME_RATE


@dataclasses.dataclass(frozen=True)
class ListenerConfig:
    """Sizes and switches of the listener; the defaults are the paper's, or HA2G's where it gives none.

    Attributes:
      coeff: coefficients of a frame, `CoefficientSpace.size`; >= 1.
      mel_offset_db: subtracted from the log-mel (dB, values in [-80, 0]). 0 for official HA2G weights.
      mel_scale_db: then divided by this (dB, > 0). 1 for official HA2G weights.
      audio_filters: channels of the audio encoder's stages; the third a multiple of 4, the fourth of 16.
      audio_depths: residual blocks of each stage; each >= 1.
      level_size: d, size of each audio level and of the text features f_t; >= 1.
      text_channels: width of each block of the text encoder; dilations 1, 2, 4, ...
      fusion_size: width of A^AE and of e; >= 8.
      fusion_blocks: SE residual blocks of the A-FFM; >= 0.
      fusion_taps: frames that each convolution of these blocks spans; odd, >= 1.
      hidden: GRU units of each direction; >= 1.
      layers: GRU layers; >= 1.
      bidirectional: False makes the whole listener causal: a frame depends on the speaker's next
        `look_ahead` + 1 frames at most, squeeze-and-excitation averages over the past, and the speaker's
        motion is taken to be relative to a moving anchor (`moving_anchor`), not to its clip.
      look_ahead: frames, >= 0; used by the causal variant only.
      memory_s: seconds after which squeeze-and-excitation has forgotten all but 1/e, > 0; used by the
        causal variant only.
      residual: predict the change from the first frame (True) or the coefficients themselves.
      levels: audio levels that enter the A-FFM, a subset of ("low", "mid", "high").
      use_text: hear words; False also leaves the text features zero and no frame an anchor.
      use_mfcc: feed MFCCs to the A-FFM.
      dropout: rate in the text encoder, in [0, 1); above 0 training needs `rngs={"dropout": key}`.
      dtype: compute type, "float32" or "bfloat16"; parameters, norms, statistics and motion are float32.
    """

    coeff: int = 70
    mel_offset_db: float = -40.0
    mel_scale_db: float = 20.0
    audio_filters: tuple[int, ...] = (32, 64, 128, 256)
    audio_depths: tuple[int, ...] = (3, 4, 6, 3)
    level_size: int = 128
    text_channels: tuple[int, ...] = (300, 300, 300, 300)
    fusion_size: int = 384
    fusion_blocks: int = 3
    fusion_taps: int = 3
    hidden: int = 256
    layers: int = 6
    bidirectional: bool = True
    look_ahead: int = 0
    memory_s: float = 8.0
    residual: bool = True
    levels: tuple[str, ...] = LEVELS
    use_text: bool = True
    use_mfcc: bool = True
    dropout: float = 0.0
    dtype: str = "float32"

    def __post_init__(self):
        if not set(self.levels) <= set(LEVELS):
            raise ValueError(f"levels {self.levels} are not among {LEVELS}")
        if not (self.levels or self.use_text or self.use_mfcc):
            raise ValueError("the listener hears nothing: no levels, no text and no MFCC")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype {self.dtype!r} is neither 'float32' nor 'bfloat16'")


def clip_lengths(in_clip_BT: Bool[Array, "batch frame"]) -> Int[Array, "batch"]:
    """Number of frames up to the last one in the clip; 0 for a clip that only fills up a batch."""
    return jnp.max(jnp.where(in_clip_BT, jnp.arange(1, in_clip_BT.shape[1] + 1)[None], 0), axis=1)


def mask_features(features: SpeakerFeatures) -> SpeakerFeatures:
    """Zeros outside the clip, and for the motion of a speaker who is not seen: nothing can look there.

    The log-mel is left alone (a clip's own steps run up to `mel_steps` of its length; see `mel_mask`).
    """
    features = jax.tree.map(jnp.asarray, features)
    seen_BT = features.speaker_seen & features.in_clip
    return dataclasses.replace(
        features,
        mfcc=jnp.where(features.in_clip[..., None], features.mfcc, 0.0),
        word_index=jnp.where(features.in_clip, features.word_index, 0),
        speaker_motion=jnp.where(seen_BT[..., None], features.speaker_motion, 0.0),
        speaker_seen=seen_BT,
    )


def first_seen(
    motion_BTC: Float[Array, "batch frame coeff"], seen_BT: Bool[Array, "batch frame"]
) -> Float[Array, "batch 1 coeff"]:
    """Each clip's motion in its first frame that is seen; in frame 0 where none is."""
    first_B = jnp.argmax(seen_BT.astype(jnp.int32), axis=1)
    return jnp.take_along_axis(motion_BTC, first_B[:, None, None], axis=1)


def mel_mask(lengths_B: Int[Array, "batch"], frames: Size) -> Bool[Array, "batch steps"]:
    """Of the log-mel steps that go with `frames`, those that each clip would have alone (none if empty)."""
    encoded_B = lengths_B + jnp.bitwise_and(2 - lengths_B, 3)  # encoder_frames; & 3 exports, % 4 does not
    own_B = jnp.where(lengths_B > 0, 2 * encoded_B + 2, 0)
    return jnp.arange(mel_steps(frames))[None] < own_B[:, None]


class Listener(nn.Module):
    """Hierarchical audio encoder, text encoder, A-FFM, f_XM and recurrent decoder."""

    config: ListenerConfig
    lanes: int = 0  # of AudioEncoder; changes no value

    def setup(self):
        """Builds the stages; they run in float32 or bfloat16, and the recurrent carry stays float32."""
        c, dtype = self.config, jnp.dtype(self.config.dtype)
        memory_s = None if c.bidirectional else c.memory_s
        memory = None if c.bidirectional else c.memory_s * FRAME_RATE
        self.motion_scale = MotionScale(c.coeff)
        self.audio_encoder = AudioEncoder(
            c.audio_filters, c.audio_depths, c.level_size, memory_s, dtype, self.lanes
        )
        if c.use_text:
            self.text_encoder = TextEncoder(c.text_channels, c.level_size, dropout=c.dropout, dtype=dtype)
            self.text_input = nn.Dense(c.level_size, dtype=dtype)
        if c.use_mfcc:
            self.mfcc_norm = BatchNorm()
        self.audio_fusion = AudioFusion(c.fusion_size, c.fusion_blocks, c.fusion_taps, memory, dtype)
        self.cross_modal_fusion = CrossModalFusion(c.fusion_size, dtype)
        self.decoder = MotionDecoder(
            c.coeff, c.hidden, c.layers, c.bidirectional, c.look_ahead, c.residual, dtype
        )

    def __call__(
        self, features: SpeakerFeatures, first_frame: Float[AnyArray, "batch coeff"], *, train: bool
    ) -> ListenerOutput:
        """The listener's motion for a padded batch, from their frame 0 in the same coefficient space.

        `train=True` uses the batch's statistics; `mutable=["batch_stats"]` also updates the running ones.
        """
        features, first_BC = mask_features(features), jnp.asarray(first_frame)
        lengths_B = clip_lengths(features.in_clip)
        mask_BT = jnp.arange(features.frames)[None] < lengths_B[:, None]
        mel_mask_BM = self._mel_mask(features, lengths_B)
        levels = self.hear(features.log_mel, mel_mask_BM, features.frames, train)  # f_low, f_mid, f_high
        words_BTD, text_BTD, anchors_BT = self.read(features, levels[0], train)  # S_T, f_t
        audio_BTD = self.fuse(levels, words_BTD, features, mask_BT, train)  # A^AE
        e_BTD = self.see(features, audio_BTD, mask_BT)  # e
        motion_BTC = self.respond(e_BTD, first_BC, lengths_B, mask_BT)  # beta, p
        return ListenerOutput(motion_BTC, text_BTD, levels, anchors_BT)

    def step(
        self, features: SpeakerFeatures, first_frame: Float[AnyArray, "batch coeff"]
    ) -> Float[Array, "batch frame coeff"]:
        """The same for the next piece of a stream (`models.stream`); of a causal listener only.

        Row i is the listener's frame one after the piece's i-th, less `look_ahead`. The log-mel runs ahead: a
        piece of n frames brings 2n steps, the first piece 3 more, for frame t hears up to step 2t + 4.
        """
        features, first_BC = jax.tree.map(jnp.asarray, features), jnp.asarray(first_frame)
        levels = self.hear(features.log_mel, None, features.frames, train=False)
        words_BTD, _, _ = self.read(features, levels[0], train=False)
        e_BTD = self.see(features, self.fuse(levels, words_BTD, features, None, train=False), None)
        lengths_B = jnp.full(e_BTD.shape[:1], features.frames)
        decoded_BTC = self.decoder.predict(e_BTD, self.motion_scale.normalise(first_BC), lengths_B)
        return self.motion_scale.denormalise(decoded_BTC)

    def _mel_mask(
        self, features: SpeakerFeatures, lengths_B: Int[Array, "batch"]
    ) -> Bool[Array, "batch steps"]:
        steps, frames = features.log_mel.shape[1], features.frames
        if steps != mel_steps(frames):
            raise ValueError(f"{frames} frames need {mel_steps(frames)} log-mel steps, not {steps}")
        return mel_mask(lengths_B, frames)

    def hear(
        self, log_mel_BMF: Float[Array, "batch steps mel"], mask_BM: Mask, frames: Size, train: bool
    ) -> LevelArrays:
        """E_a: log-mel to the audio levels (low, mid, high), each [B, T, d]."""
        scaled_BMF = (log_mel_BMF - self.config.mel_offset_db) / self.config.mel_scale_db
        levels = self.audio_encoder(scaled_BMF, mask_BM, train)
        # All reach to the end of a clip, but in a stream one comes earlier than the others.
        low, mid, high = (stream.take(self, name, x, frames) for name, x in zip(LEVELS, levels, strict=True))
        return low, mid, high

    def read(
        self, features: SpeakerFeatures, like_BTD: Array, train: bool
    ) -> tuple[Array, Array, Bool[Array, "batch frame"]]:
        """E_text: the words of each frame S_T, the text features f_t, and which frames are anchors.

        Without text, f_t is zeros of the shape of `like_BTD` and no frame is an anchor.
        """
        words_BTD = jnp.take_along_axis(features.word_table, features.word_index[..., None], axis=1)
        if not self.config.use_text:
            return words_BTD, jnp.zeros_like(like_BTD), jnp.zeros_like(features.in_clip)
        return words_BTD, self.text_encoder(words_BTD, train), features.word_index > 0

    def fuse(
        self,
        levels: LevelArrays,
        words_BTD: Array,
        features: SpeakerFeatures,
        mask_BT: Mask,
        train: bool,
    ) -> Float[Array, "batch frame size"]:
        """f_{A-FFM}: audio levels, words S_T and MFCC M_T to A^AE."""
        parts = [level for name, level in zip(LEVELS, levels, strict=True) if name in self.config.levels]
        if self.config.use_text:
            parts.append(self.text_input(words_BTD))
        if self.config.use_mfcc:
            parts.append(self.mfcc_norm(features.mfcc, features.in_clip, train))
        return self.audio_fusion(parts, mask_BT, train)

    def see(
        self,
        features: SpeakerFeatures,
        audio_BTD: Float[Array, "batch frame size"],
        mask_BT: Mask,
    ) -> Float[Array, "batch frame size"]:
        """f_XM: the speaker's motion and A^AE to e; zeros past the end of a clip.

        The decoder predicts change from the listener's first frame: the speaker's change comes in beside it,
        counted from the first frame in which they are seen. A causal listener's features are relative to a
        moving anchor, so there it is all that comes in.
        """
        if self.config.bidirectional:
            motion_BTC = self.motion_scale.normalise(features.speaker_motion)
            change_BTC = motion_BTC - first_seen(motion_BTC, features.speaker_seen)
            motion_BTC = jnp.concatenate([motion_BTC, change_BTC], axis=-1)
        else:
            motion_BTC = self.motion_scale.normalise_change(features.speaker_motion)
        e_BTD = self.cross_modal_fusion(motion_BTC, features.speaker_seen, audio_BTD)
        return e_BTD if mask_BT is None else jnp.where(mask_BT[..., None], e_BTD, 0.0)

    def respond(
        self,
        e_BTD: Float[Array, "batch frame size"],
        first_BC: Float[Array, "batch coeff"],
        lengths_B: Int[Array, "batch"],
        mask_BT: Bool[Array, "batch frame"],
    ) -> Float[Array, "batch frame coeff"]:
        """The decoder: e to the listener's motion; frame 0 is `first_BC`, zeros past the end of a clip."""
        decoded_BTC = self.decoder(e_BTD, self.motion_scale.normalise(first_BC), lengths_B)
        motion_BTC = jnp.where(mask_BT[..., None], self.motion_scale.denormalise(decoded_BTC), 0.0)
        return motion_BTC.at[:, 0].set(first_BC)
