"""The live page in a headless Chromium with a camera and a microphone of its own, played from files."""

import asyncio
import contextlib
import dataclasses
import threading
import time

import cv2
import numpy as np
import pytest
import skimage.data
from aiohttp import web
from live_certificate import make_certificate
from live_server import settings
from live_untrained import save_untrained
from media_clips import make_images, make_video
from metrics_browser import BINARY, Browser
from sample_helpers import voice

from lhg_jax import media
from lhg_jax.live import pipe
from lhg_jax.live.access import access_for, tls_context
from lhg_jax.live.server import LiveServer
from lhg_jax.live.work_process import COMMAND

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BINARY is None, reason="Chromium is not installed (apt-get install chromium)"),
]
CAMERA = ("--use-fake-device-for-media-stream",)
GREY = "[...document.querySelector('canvas').getContext('2d').getImageData(48, 60, 1, 1).data][0]"


@contextlib.contextmanager
def page(tls=None, **changes):
    """The address of a server in a thread of its own, with a work process that draws grey frames."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []

    async def serve():
        server = LiveServer(settings(**changes))
        runner = web.AppRunner(server.app(), shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        found.append((site._server.sockets[0].getsockname()[1], asyncio.current_task()))
        ready.set()
        try:
            await server.work.run()
        finally:
            await runner.cleanup()

    def run():
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(30)
    port, task = found[0]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(30)


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """Flags that make a camera and a microphone out of a film and its sound."""
    jpegs = [cv2.imencode(".jpg", image)[1].tobytes() for image in make_images(30, 320, 240)]
    return devices_from(tmp_path_factory.mktemp("devices"), jpegs, voice(5.0))


def devices_from(folder, jpegs, wave):
    (folder / "camera.mjpeg").write_bytes(b"".join(jpegs))
    media.write_audio(folder / "microphone.wav", wave, 16000)
    return (
        *CAMERA,
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}",
        f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}",
    )


def until(browser, condition, seconds=60.0):
    """Waits for an expression in the page to be true; the value it ends with."""
    end = time.monotonic() + seconds
    while not (value := browser.run(condition)) and time.monotonic() < end:
        time.sleep(0.1)
    assert value, f"{condition}: {browser.run('document.body.innerText')}"
    return value


def click(browser, name):
    browser.call(
        "Runtime.evaluate", expression=f"document.getElementById('{name}').click()", userGesture=True
    )


def move(browser, slider, value):
    found = f"document.getElementById('{slider}')"
    browser.run(f"{found}.value = {value}; {found}.dispatchEvent(new Event('input')); 0")


def test_talking_to_the_camera(devices, tmp_path):
    with page() as address, Browser(tmp_path / "profile", *devices) as browser:
        browser.open(address)
        until(browser, "live.numbers().ready")
        click(browser, "start")
        until(browser, "document.getElementById('seen').textContent == 'seen'")  # sound and pictures come
        first = browser.run("live.numbers().total")
        until(browser, f"live.numbers().total > {first + 20}")
        assert browser.run("live.numbers().age") < 5000
        until(browser, "live.numbers().pictures == 5")  # a second: two more than are looked at
        for slider, value, grey in (("liveliness", 2, 150), ("attitude", 1, 190), ("liveliness", 0, 90)):
            move(browser, slider, value)
            until(browser, f"Math.abs({GREY} - {grey}) < 4")
        click(browser, "start")
        until(browser, "document.getElementById('start').textContent == 'Start talking'")
        assert browser.complaints == []


def test_another_computers_camera_over_https(devices, tmp_path):
    """By a name that is not localhost a browser gives its camera to https alone."""
    certificate = tls_context(make_certificate(tmp_path, "listener.example"))
    flags = ("--host-resolver-rules=MAP listener.example 127.0.0.1", "--ignore-certificate-errors")
    access = access_for("listener.example")
    with page(certificate, access=access) as place, Browser(tmp_path / "p", *devices, *flags) as browser:
        browser.open(f"{place.replace('127.0.0.1', 'listener.example')}?token={access.token}")
        until(browser, "live.numbers().ready")
        assert browser.run("location.protocol + isSecureContext") == "https:true"
        click(browser, "start")
        until(browser, "document.getElementById('seen').textContent == 'seen'")
        until(browser, "live.numbers().total > 5")
        assert browser.complaints == []


@pytest.mark.slow
def test_a_recording_is_as_long_as_it_took(devices, tmp_path):
    with page() as address, Browser(tmp_path / "profile", *devices) as browser:
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        browser.open(address)
        until(browser, "live.numbers().ready")
        click(browser, "start")
        until(browser, "document.getElementById('start').textContent == 'Stop'")
        click(browser, "record")
        until(browser, "!document.getElementById('recording').hidden")
        begin = time.monotonic()
        time.sleep(4.0)
        click(browser, "record")
        took = time.monotonic() - begin
        [path] = wait_for(lambda: list(tmp_path.glob("listening-*.[mw]*[4m]")))
        frames = list(media.read_frames(path))
        assert frames[-1].time_s - frames[0].time_s == pytest.approx(took, abs=1.0)
        assert np.abs(media.read_audio(path)).max() > 0.01
        assert browser.complaints == []


def wait_for(find, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := find()) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.5)
    return found


def test_the_portrait_is_there_before_the_listener_is_ready(tmp_path):
    """The work process never gets ready here; nothing can be started, and the page says so."""
    with (
        page(setup=dataclasses.replace(settings().setup, size=997)) as address,
        Browser(tmp_path / "profile") as browser,
    ):
        browser.open(address)
        until(browser, "document.querySelector('canvas').width == 50", 20)  # the portrait's
        assert browser.run("document.getElementById('start').disabled")
        assert "getting ready" in browser.run("document.getElementById('state').textContent")


def test_without_permission_it_says_what_to_do(tmp_path):
    with page() as address, Browser(tmp_path / "profile", *CAMERA, "--deny-permission-prompts") as browser:
        browser.open(address)
        until(browser, "live.numbers().ready")
        click(browser, "start")
        assert "allow both" in until(browser, "document.getElementById('advice').textContent")
        until(browser, "!document.getElementById('start').disabled")


def test_without_a_camera_it_says_what_to_do(tmp_path):
    with page() as address, Browser(tmp_path / "profile") as browser:
        browser.open(address)
        until(browser, "live.numbers().ready")
        click(browser, "start")
        assert "--speaker" in until(browser, "document.getElementById('advice').textContent")


@pytest.mark.parametrize("codec, advice", [("libx264", ""), ("mpeg4", "H.264")])
def test_a_film_in_place_of_the_camera(tmp_path, codec, advice):
    speaker = make_video(tmp_path / "speaker.mp4", count=50, codec=codec, audio="aac", size=(320, 240))
    with page(speaker=speaker) as address, Browser(tmp_path / "profile") as browser:
        browser.open(address)
        until(browser, "live.numbers().ready")
        assert browser.run("document.getElementById('start').textContent") == "Play the speaker"
        click(browser, "start")
        until(browser, "document.getElementById('start').textContent == 'Stop'")
        assert advice in browser.run("document.getElementById('advice').textContent")
        if not advice:
            until(browser, "document.getElementById('seen').textContent == 'seen'")
        assert browser.complaints == []


def test_a_second_page_is_told_that_it_waits(tmp_path):
    with page() as address, Browser(tmp_path / "profile") as browser:
        browser.open(address)
        until(browser, "live.numbers().ready")
        with Browser(tmp_path / "other") as other:
            other.open(address)
            until(other, "document.getElementById('state').textContent.startsWith('Somebody else')")


@pytest.mark.slow
def test_a_real_listener_and_a_real_clip(shared, tmp_path):
    """The whole way: a filmed speaker as camera and microphone, tracking, a network, drawn frames."""
    speaker, flags = shared / "data" / "real" / "talk_man.mp4", tmp_path / "devices"
    flags.mkdir()
    pictures = [media.at_most(frame.image, 480)[..., ::-1] for frame in media.read_frames(speaker)]
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    checkpoint = save_untrained(tmp_path / "listener.safetensors")
    real = {"command": COMMAND, "setup": pipe.Setup(skimage.data.astronaut(), checkpoint, 256)}
    film = devices_from(flags, jpegs, media.read_audio(speaker))
    with page(**real) as address, Browser(tmp_path / "profile", *film) as browser:
        browser.open(address)
        until(browser, "live.numbers().ready", 400.0)
        click(browser, "start")
        until(browser, "document.getElementById('seen').textContent == 'seen'")
        picture = "document.querySelector('canvas').toDataURL()"
        first, total = browser.run(picture), browser.run("live.numbers().total")
        until(browser, f"live.numbers().total > {total + 30}")
        assert browser.run(picture) != first
        assert browser.complaints == []


def test_it_fits_a_phone(tmp_path):
    with page() as address, Browser(tmp_path / "profile") as browser:
        browser.open(address, width=390, height=844)
        until(browser, "live.numbers().ready")
        browser.run("document.querySelector('details').open = true")
        assert browser.run("document.documentElement.scrollWidth") <= 390
        bottom = "document.getElementById('start').getBoundingClientRect().bottom"
        assert browser.run(bottom) < 844  # what is needed first needs no scrolling
