"""The live page in a headless Chromium: frames/s that are shown, their age, and what each process takes.

python tools/bench/live_browser.py --listener face.png --speaker talk.mp4 [--seconds 60]

The speaker's film is the browser's camera and microphone. There is no GPU: the browser draws in software, on
the same cores as the server. The page is opened while the listener gets ready: the cores are busy then.
"""

import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from metrics_browser import Browser  # noqa: E402

from lhg_jax import media  # noqa: E402
from tools.bench.live import SETTLE_S, SIDE, Server, processor_s  # noqa: E402

FIRST_PICTURE = """
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...all) {
    window.firstPictureMs ??= performance.now();
    CanvasRenderingContext2D.prototype.drawImage = draw;
    return draw.apply(this, all);
  };
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """A film that is held before the camera."""

    listener: Path
    speaker: Path
    seconds: float = 60.0
    size: int = 384


def devices(speaker: Path, folder: Path) -> list[str]:
    """Flags that make a camera and a microphone out of a film."""
    pictures = [media.at_most(frame.image, SIDE)[..., ::-1] for frame in media.read_frames(speaker)]
    (folder / "camera.mjpeg").write_bytes(b"".join(cv2.imencode(".jpg", p)[1].tobytes() for p in pictures))
    media.write_audio(folder / "microphone.wav", media.read_audio(speaker), media.SAMPLE_RATE)
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}",
        f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}",
    ]


def parts(pid: int) -> dict[str, list[int]]:
    """Process ids of the browser by what they do."""
    found: dict[str, list[int]] = defaultdict(list)
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
            words = Path(f"/proc/{one}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        flags = [
            word.partition("=")[2] for word in words if word.startswith(("--type=", "--utility-sub-type="))
        ]
        found[" ".join(flags) or "browser"].append(one)
    return found


def begin(server: Server, browser: Browser) -> float:
    """Opens the page and starts talking; seconds until the portrait was drawn."""
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=FIRST_PICTURE)
    browser.open(server.address)
    while not (portrait_ms := browser.run("window.firstPictureMs ?? null")):
        time.sleep(0.05)
    server.line("ready")
    while not browser.run("live.numbers().ready"):
        time.sleep(0.2)
    press = "document.getElementById('start').click()"
    browser.call("Runtime.evaluate", expression=press, userGesture=True)
    return portrait_ms / 1e3


def watch(server: Server, browser: Browser, seconds: float) -> dict[str, str]:
    """The figures of a talk."""
    pids = parts(browser.pid) | {"server": [server.process.pid], "work process": [server.worker]}
    before = {name: sum(map(processor_s, of)) for name, of in pids.items()}
    start, first, rows = time.monotonic(), browser.run("live.numbers()"), []
    while time.monotonic() - start < seconds:
        time.sleep(1.0)
        rows.append(browser.run("live.numbers()"))
    passed = time.monotonic() - start
    used = {name: (sum(map(processor_s, of)) - before[name]) / passed for name, of in pids.items()}
    shown, dropped = (rows[-1][name] - first[name] for name in ("total", "dropped"))
    rates, ages = [row["fps"] for row in rows], [row["age"] for row in rows if row["fps"]]
    return {
        "frames/s": f"{shown / passed:.1f}",
        "frames in one second: least, median": f"{min(rates)}, {np.median(rates):.0f}",
        "age, ms, a median each second: p50, p95": f"{np.median(ages):.0f}, {np.percentile(ages, 95):.0f}",
        "pictures sent a second": f"{np.median([row['pictures'] for row in rows]):.0f}",
        "model frames left out": f"{100 * dropped / (shown + dropped):.1f} %",
        **{f"{name}, of a core": f"{100 * x:.0f} %" for name, x in sorted(used.items()) if x > 0.005},
    }


def main() -> None:
    options = tyro.cli(Options, prog="python tools/bench/live_browser.py", description=__doc__)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        flags = devices(options.speaker, Path(name))
        server = Server(options.listener, options.size)
        try:
            with Browser(Path(name) / "profile", *flags) as browser:
                figures = {"portrait drawn after": f"{begin(server, browser):.2f} s"}
                time.sleep(SETTLE_S)
                figures |= watch(server, browser, options.seconds)
                assert not browser.complaints, browser.complaints
        finally:
            server.process.send_signal(signal.SIGINT)
            server.process.wait(20)
    title = f"{options.seconds:.0f} s at {options.size} pixels, load {load:.1f} before"
    table = Table("what", "figure", title=title)
    for row in figures.items():
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
