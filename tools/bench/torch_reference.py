"""The listener of `lhg_jax.models` layer by layer in PyTorch, for full-length clips: the bench's twin.

Written as one would in PyTorch: NCHW convolutions, `torch.nn.GRU` (cuDNN on a GPU), no masks, the whole N x
3N matrix in Eq. 2. Layout [batch, channel, frequency, time], as HA2G's.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lhg_jax.models.ha2g import audio_to_torch, text_to_torch
from lhg_jax.models.listener import ListenerConfig

LAYER_NORM_EPSILON = 1e-6  # linen's


class SqueezeExcite(nn.Module):
    """models.resnet_se.SqueezeExcite."""

    def __init__(self, size: int):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(size, size // 8), nn.ReLU(), nn.Linear(size // 8, size), nn.Sigmoid()
        )

    def forward(self, x):
        """[B, C, F, T] in and out."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class SEBlock(nn.Module):
    """models.resnet_se.SEBlock."""

    def __init__(self, inputs: int, size: int, stride: int = 1, shortcut: bool = False, kernel=(3, 3)):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv1 = nn.Conv2d(inputs, size, kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(size)
        self.conv2 = nn.Conv2d(size, size, kernel, 1, padding, bias=False)
        self.bn2 = nn.BatchNorm2d(size)
        self.se = SqueezeExcite(size)
        if shortcut:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, size, 1, stride, bias=False), nn.BatchNorm2d(size)
            )
        self.shortcut = shortcut

    def forward(self, x):
        """[B, C, F, T] in and out, both axes divided by the stride."""
        y = self.se(self.bn2(self.conv2(self.bn1(functional.relu(self.conv1(x))))))
        return functional.relu(y + (self.downsample(x) if self.shortcut else x))


class AudioEncoder(nn.Module):
    """Names of HA2G's state dict."""

    def __init__(self, c: ListenerConfig):
        super().__init__()
        filters = c.audio_filters
        self.conv1, self.bn1 = nn.Conv2d(1, filters[0], 3, padding=1), nn.BatchNorm2d(filters[0])
        inputs = filters[0]
        for stage, (size, depth) in enumerate(zip(filters, c.audio_depths, strict=True), 1):
            stride = 1 if stage == 1 else 2
            first = SEBlock(inputs, size, stride, shortcut=stage > 1)
            self.add_module(
                f"layer{stage}", nn.Sequential(first, *(SEBlock(size, size) for _ in range(depth - 1)))
            )
            inputs = size
        heads = {
            "low": (filters[1], 2, 63),
            "mid": (filters[2] // 4, 3, 62),
            "high": (filters[3] // 16, 3, 62),
        }
        for level, (size, taps, frequencies) in heads.items():
            self.add_module(f"conv_{level}", nn.Conv2d(size, size, taps))
            self.add_module(f"bn_{level}", nn.BatchNorm2d(size))
            self.add_module(f"fc_{level}", nn.Linear(size * frequencies, c.level_size))

    def forward(self, log_mel_BMF):
        """Log-mel [B, M, 128] to the three levels, each [B, T, d]."""
        x = self.bn1(functional.relu(self.conv1(log_mel_BMF.transpose(1, 2)[:, None])))
        x = self.layer1(x)
        low = self.layer2(x)
        mid = self.layer3(low)
        high = self.layer4(mid)
        sources = {
            "low": low,
            "mid": functional.pixel_shuffle(mid, 2),
            "high": functional.pixel_shuffle(high, 4),
        }
        return [self.head(level, source) for level, source in sources.items()]

    def head(self, level: str, x):
        """One level of the features: [B, T, d]."""
        x = getattr(self, f"bn_{level}")(functional.relu(getattr(self, f"conv_{level}")(x)))
        return getattr(self, f"fc_{level}")(x.permute(0, 3, 1, 2).flatten(2))


class CausalConv(nn.Module):
    """models.text_encoder.CausalConv with its ReLU."""

    def __init__(self, inputs: int, size: int, dilation: int):
        super().__init__()
        self.weight_v = nn.Parameter(torch.zeros(size, inputs, 2))
        self.weight_g = nn.Parameter(torch.zeros(size, 1, 1))
        self.bias = nn.Parameter(torch.zeros(size))
        self.dilation = dilation

    def forward(self, x):
        """[B, C, T] in and out."""
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(1, 2), keepdim=True)
        return functional.relu(
            functional.conv1d(
                functional.pad(x, (self.dilation, 0)), weight, self.bias, dilation=self.dilation
            )
        )


class TemporalBlock(nn.Module):
    """models.text_encoder.TemporalBlock."""

    def __init__(self, inputs: int, size: int, dilation: int):
        super().__init__()
        self.conv1, self.conv2 = CausalConv(inputs, size, dilation), CausalConv(size, size, dilation)
        self.downsample = nn.Conv1d(inputs, size, 1) if inputs != size else nn.Identity()

    def forward(self, x):
        """[B, C, T] in and out."""
        return functional.relu(self.downsample(x) + self.conv2(self.conv1(x)))


class TextEncoder(nn.Module):
    """Names of HA2G's state dict, without the embedding."""

    def __init__(self, c: ListenerConfig, word_size: int):
        super().__init__()
        inputs = (word_size, *c.text_channels)
        blocks = [TemporalBlock(inputs[i], size, 2**i) for i, size in enumerate(c.text_channels)]
        self.tcn = nn.ModuleDict({"network": nn.Sequential(*blocks)})
        self.decoder = nn.Linear(inputs[-1], c.level_size)

    def forward(self, words_BTD):
        """Word vectors [B, T, D] to f_t [B, T, d]."""
        return self.decoder(self.tcn["network"](words_BTD.transpose(1, 2)).transpose(1, 2))


class Twin(nn.Module):
    """`lhg_jax.models.Listener`, bidirectional, every input used, no dropout."""

    def __init__(self, c: ListenerConfig, word_size: int, mfcc_size: int):
        super().__init__()
        self.audio_encoder, self.text_encoder = AudioEncoder(c), TextEncoder(c, word_size)
        self.text_input = nn.Linear(word_size, c.level_size)
        self.mfcc_norm = nn.BatchNorm1d(mfcc_size)
        self.mix = nn.Linear(4 * c.level_size + mfcc_size, c.fusion_size)
        blocks = [
            SEBlock(c.fusion_size, c.fusion_size, kernel=(1, c.fusion_taps)) for _ in range(c.fusion_blocks)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.motion = nn.Linear(2 * c.coeff, c.fusion_size)
        self.join = nn.Linear(2 * c.fusion_size, c.fusion_size)
        self.norm = nn.LayerNorm(c.fusion_size, LAYER_NORM_EPSILON)
        self.past = nn.Linear(2 * c.coeff, c.fusion_size, bias=False)
        self.initial_state = nn.Linear(c.coeff, 2 * c.layers * c.hidden)
        self.gru = nn.GRU(c.fusion_size, c.hidden, c.layers, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * c.hidden, c.coeff)

    def forward(self, log_mel, mfcc, words, motion, first):
        """Motion [B, T, C], f_t [B, T, d] and the three levels, each [B, T, d]."""
        levels = self.audio_encoder(log_mel)
        mfcc = self.mfcc_norm(mfcc.transpose(1, 2)).transpose(1, 2)
        x = self.mix(torch.cat([*levels, self.text_input(words), mfcc], -1))
        fused = self.blocks(x.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2)
        seen = torch.cat([motion, motion - motion[:, :1]], -1)
        e = self.norm(
            functional.relu(self.join(torch.cat([functional.relu(self.motion(seen)), fused], -1)))
        ) + self.past(seen)
        h0 = torch.tanh(self.initial_state(first)).unflatten(1, (-1, self.gru.hidden_size)).transpose(0, 1)
        y, _ = self.gru(e, h0.contiguous())
        moved = self.output(y[:, :-1]) + first[:, None]
        return torch.cat([first[:, None], moved], 1), self.text_encoder(words), levels


def motion_loss(motion, target, expression: slice):
    """Eq. 6 with w1 = w2 = 1, as means over frames."""
    error = motion - target
    change = error[:, 1:] - error[:, :-1]
    pose = torch.ones(error.shape[-1], dtype=torch.bool, device=error.device)
    pose[expression] = False
    return sum(x[..., part].norm(dim=-1).mean() for x in (error[:, 1:], change) for part in (~pose, pose))


def contrastive_loss(text, levels, anchors, temperature: float):
    """Eq. 2, as a mean over anchors."""
    rows = functional.normalize(text.flatten(0, 1), dim=-1)
    banks = torch.cat([functional.normalize(level.flatten(0, 1), dim=-1) for level in levels])
    logits = (rows @ banks.T / temperature).float()
    spread = torch.logsumexp(logits, 1) - logits.diagonal(2 * len(rows))
    weights = anchors.flatten().float()
    return (spread * weights).sum() / weights.sum()


def state_dict(variables: Mapping) -> dict[str, np.ndarray]:
    """Weights of our listener (linen variables) under the twin's names."""
    params, stats = variables["params"], variables["batch_stats"]
    state = {}
    for part, convert in [
        ("audio_encoder", audio_to_torch),
        ("text_encoder", lambda tree: text_to_torch(tree, np.zeros((1, 1)))),
    ]:
        own = {"params": params[part]} | ({"batch_stats": stats[part]} if part in stats else {})
        for name, array in convert(own).items():
            state[f"{part}.{name.removeprefix('feat_extractor.')}"] = array
    for i, block in enumerate(name for name in params["audio_fusion"] if name != "mix"):
        own = {
            kind: {"layer1_0": tree["audio_fusion"][block]}
            for kind, tree in [("params", params), ("batch_stats", stats)]
        }
        for name, array in audio_to_torch(own).items():
            state[name.replace("feat_extractor.layer1.0", f"blocks.{i}")] = array
    fusion, decoder = params["cross_modal_fusion"], params["decoder"]
    dense = {name: fusion[name] for name in ("motion", "join", "past")}
    dense |= {name: decoder[name] for name in ("initial_state", "output")}
    dense |= {"mix": params["audio_fusion"]["mix"], "text_input": params["text_input"]}
    for name, layer in dense.items():
        state |= {f"{name}.{'weight' if k == 'kernel' else k}": np.asarray(v).T for k, v in layer.items()}
    norms = {"mfcc_norm": params["mfcc_norm"], "norm": fusion["norm"]}
    for name, layer in norms.items():
        state |= {f"{name}.weight": np.asarray(layer["scale"]), f"{name}.bias": np.asarray(layer["bias"])}
    running = {f"mfcc_norm.running_{k}": np.asarray(v) for k, v in stats["mfcc_norm"].items()}
    state |= running | {"mfcc_norm.num_batches_tracked": np.zeros((), np.int64)}
    return state | {f"gru.{name}": np.asarray(array) for name, array in decoder["gru"].items()}
