import dataclasses
import json
from pathlib import Path

import pytest

from lhg_jax import config as configuration
from lhg_jax.util.errors import UserError

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.py"))
DEMO = str(Path(__file__).parent.parent / "configs" / "demo.py")


def parse(*overrides):
    return configuration.parse_command_line(["--config", DEMO, "--workdir", "w", *overrides]).config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_says_what_it_is(path):
    config = configuration.load_config(path)
    assert json.loads(configuration.to_json(config))["train"]["steps"] == config.train.steps
    header = path.read_text().split('"""')[1]
    for word in ("Reproduces:", "Command:", "Time:", "score:", f"configs/{path.name}"):
        assert word in header
    assert config.data.crop_frames % 4 == 2  # no wasted mel steps


def test_every_field_is_documented():
    source = Path(configuration.__file__).read_text()
    for name, section in vars(configuration).items():
        if name in (
            "DataConfig",
            "AugmentConfig",
            "LossConfig",
            "OptimizerConfig",
            "LoopConfig",
            "CheckpointConfig",
            "StartConfig",
            "Processes",
        ):
            for field in dataclasses.fields(section):
                after = source.split(f"class {name}")[1].split(f"\n    {field.name}: ")[1].split("\n")[1]
                assert after.startswith('    """'), f"{name}.{field.name} has no docstring"


def test_overrides_by_dotted_names():
    config = parse(
        "--config.train.batch_size=64",
        "--config.model.audio-filters", "4", "8", "16", "32",
        "--config.loss.motion-options.w1=3.0",
    )  # fmt: skip
    assert config.train.batch_size == 64
    assert config.model.audio_filters == (4, 8, 16, 32)
    assert config.loss.motion_options["w1"] == 3.0
    assert config.train.steps == parse().train.steps


@pytest.mark.parametrize(
    "argument", ["--config.train.batchsize=64", "--config.train.batch_size=many", "--confg=x"]
)
def test_unknown_keys_and_wrong_types_name_the_key(argument, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(argument)
    assert stopped.value.code == 2
    assert argument.split("=")[0].replace("batch_size", "batch") in capsys.readouterr().err.replace(
        "-size", ""
    )


def test_files_that_are_no_configs(tmp_path):
    with pytest.raises(UserError, match="no such config file"):
        configuration.load_config(tmp_path / "x.py")
    (tmp_path / "x.py").write_text("config = 1")
    with pytest.raises(UserError, match="does not define `config"):
        configuration.load_config(tmp_path / "x.py")
    (tmp_path / "x.py").write_text("config = Train(")
    with pytest.raises(UserError, match=r"x.py: '\(' was never closed"):
        configuration.load_config(tmp_path / "x.py")
    with pytest.raises(UserError, match="--config FILE is missing"):
        configuration.parse_command_line(["--workdir", "w"])
