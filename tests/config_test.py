import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lhg_jax import config as configuration
from lhg_jax import train_command
from lhg_jax.config_files import find_config
from lhg_jax.util.errors import UserError

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.py"))
DEMO = str(Path(__file__).parent.parent / "configs" / "demo.py")


def parse(*overrides):
    return train_command.parse_command_line(["--config", DEMO, "--workdir", "w", *overrides]).config


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
    for text, words in [
        ("1 / 0", "ZeroDivisionError: division by zero"), ("{}[3]", "KeyError: 3"),
        ("raise OSError", "no reason"),
        ("x = '\0'", "null bytes"), ("import nothing_of_that_name", "No module named"),
    ]:  # fmt: skip
        (tmp_path / "x.py").write_text(text)
        with pytest.raises(UserError, match=f"x.py: .*{words}"):
            configuration.load_config(tmp_path / "x.py")
    with pytest.raises(UserError, match=r"--config is missing \(a file, or one of ablation_causal,"):
        train_command.parse_command_line(["--workdir", "w"])


@pytest.mark.parametrize("name", ["demo", "demo.py", "configs/demo.py"])
def test_configs_of_the_package_are_found_by_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name).samefile(DEMO)
    assert "small" in find_config("grids/small").name
    (tmp_path / "demo.py").write_text("")
    assert find_config("demo.py").samefile(tmp_path / "demo.py") or name == "demo"


@pytest.mark.parametrize("name", ["", ".", "..", "dmeo", "grids/dmeo", "/demo"])
def test_configs_that_are_not_there(name):
    with pytest.raises(UserError, match=r"no such config file \(the package has ablation_causal, "):
        find_config(name)


@pytest.mark.parametrize("arguments", ["--help", "--version", "--workdir w", "--config dmeo --workdir w"])
def test_help_and_typos_are_answered_before_jax_is_imported(arguments, tmp_path):
    """It takes seconds."""
    code = "import runpy, sys, atexit; atexit.register(lambda: print('jax' in sys.modules))\n"
    code += "runpy.run_module('lhg_jax.train', run_name='__main__')"
    command = [sys.executable, "-c", code, *arguments.split()]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == (0 if arguments in ("--help", "--version") else 2)
    assert ended.stdout.endswith("False\n") and (ended.returncode == 0 or ended.stderr.startswith("error: "))


def test_help_without_a_config(capsys):
    with pytest.raises(SystemExit) as ended:
        train_command.parse_command_line(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith("usage: python -m lhg_jax.train --config FILE|NAME --workdir DIR")
    for word in ("demo ", "lhg_base ", "--coordinator", "--evaluate-only", "--config NAME --help"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


def test_another_loss_drops_the_options_of_the_one_before(capsys):
    config = parse("--config.loss.motion=huber")
    assert (config.loss.motion, config.loss.motion_options) == ("huber", {"delta": 0.1})
    said = capsys.readouterr().err
    assert "loss.motion=huber: the options of 'squared' (w1, w2, pose) are left out" in said


def test_options_of_the_chosen_losses_have_dotted_names():
    config = parse(
        "--config.loss.motion", "huber", "--config.loss.motion_options.delta=0.3",
        "--config.loss.contrastive=temporal", "--config.loss.contrastive_options.radius=7",
    )  # fmt: skip
    assert config.loss.motion_options == {"delta": 0.3}
    assert config.loss.contrastive_options == {"radius": 7.0}
    assert parse().loss.motion_options == {"w1": 2.0, "w2": 64.0, "pose": 8.0}


def test_losses_from_outside_the_package(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from lhg_jax.losses import motion\n"
        "def margin(x, *, margin=0.2):\n"
        "    return motion.huber(x, delta=margin)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = parse("--config.loss.motion=mine:margin", "--config.loss.motion_options.margin=0.5")
    assert config.loss.motion_options == {"margin": 0.5}
    for name, reason in (("mine:other", "no attribute 'other'"), ("nowhere:f", "No module named 'nowhere'")):
        with pytest.raises(UserError, match=f"loss.motion: {name}: .*{reason}"):
            parse(f"--config.loss.motion={name}")
