"""`python -m lhg_jax.live`: what it prints, and one line for what it cannot use."""

import asyncio
import dataclasses
import signal
import socket
import sys

import pytest
import skimage.data
import skimage.io
from live_server import SCRIPT, settings

from lhg_jax.live import __main__ as command
from lhg_jax.live.__main__ import Options, address, check, serve
from lhg_jax.live.access import access_for, is_this_computer, tls_context
from lhg_jax.util.errors import MissingExtraError, UserError


def options(tmp_path, **changes):
    picture = tmp_path / "face.png"
    skimage.io.imsave(picture, skimage.data.astronaut(), check_contrast=False)
    return Options(**({"listener": picture, "port": 0} | changes))


@pytest.mark.parametrize(
    "changes, line",
    [({"size": 5}, "--size: 5 is"), ({"size": 5000}, "--size: 5000"), ({"port": 70000}, "--port: 70000 is")],
)
def test_options_that_cannot_be_used(tmp_path, changes, line):
    with pytest.raises(UserError, match=line):
        check(options(tmp_path, **changes))


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match=r"none.safetensors: no such file"):
        check(options(tmp_path, checkpoint=tmp_path / "none.safetensors"))
    with pytest.raises(UserError, match=r"none.png: no such file"):
        command.settings(options(tmp_path, listener=tmp_path / "none.png"))
    good = options(tmp_path)
    with pytest.raises(UserError, match=r"face.png: "):
        tls_context((good.listener, good.listener))
    with pytest.raises(UserError, match=r"none.pem: no such file"):
        tls_context((tmp_path / "none.pem", good.listener))
    assert tls_context(None) is None and command.settings(good).setup.portrait.shape == (512, 512, 3)


def test_without_its_extra_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lhg_jax.live.access", None)
    with pytest.raises(MissingExtraError, match=r"\.\[live\]"):
        command.settings(options(tmp_path))


def test_another_host_gets_a_new_token_each_time():
    assert access_for("127.0.0.1").token is access_for("::1").token is access_for("localhost").token is None
    tokens = {access_for(host).token for host in ("0.0.0.0", "0.0.0.0", "192.168.1.5", "listener.example")}
    assert len(tokens) == 4 and min(map(len, tokens)) >= 32
    assert not is_this_computer("localhost.attacker.example") and not is_this_computer("")


def test_addresses():
    assert address("http://127.0.0.1:8000", "127.0.0.1", None) == "http://127.0.0.1:8000/"
    assert address("https://[::]:81", "::", "secret") == "https://[::]:81/?token=secret"


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: "):
            asyncio.run(serve(options(tmp_path, port=port), settings(), None))


def test_it_serves_until_a_signal_comes(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(command, "say", lambda line: said.append(line) or stop(line))

    def stop(line):
        if line == "ready":
            signal.raise_signal(signal.SIGTERM)

    asyncio.run(serve(options(tmp_path), settings(command=SCRIPT), None))
    assert said[0].startswith("http://127.0.0.1:") and said[0].endswith("/ (starting)") and said[1] == "ready"


def test_what_the_work_process_cannot_use_ends_the_command(tmp_path):
    served = settings(setup=dataclasses.replace(settings().setup, size=999))
    with pytest.raises(UserError, match="no face found"):
        asyncio.run(serve(options(tmp_path), served, None))
