"""Share of wrong words and processor time of both recognisers, on recordings with texts of their own.

    python tools/bench/recognisers.py --speech DIR --model DIR [--count 20] [--longest 16]

DIR has a manifest.jsonl as `prepare --speech` reads it, with `text_source`. Only English texts that came with
their recordings count, speakers in turn. A word is wrong if it is missing, another one or too many (word
error rate), after both sides are lower case without punctuation. Numbers are not brought into one form: a
"20" for "twenty" is wrong. Both recognisers take one recording after the other; models are loaded before.
"""

import argparse
import dataclasses
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lhg_jax.media import read_audio
from lhg_jax.speech.asr import Recogniser, recogniser

SPELLED = {"mr": "mister", "mrs": "missus", "dr": "doctor"}


@dataclasses.dataclass(frozen=True)
class Recording:
    """A file and what is said in it."""

    path: Path
    speaker: str
    text: str


def recordings(folder: Path, count: int, longest_s: float) -> list[Recording]:
    """The first recording of each speaker, then the second of each, and so on."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    by_speaker: dict[str, list[Recording]] = {}
    for row in map(json.loads, lines):
        fits = row["text_source"] == "corpus" and row["language"] == "en" and row["seconds"] <= longest_s
        if fits and isinstance(row["speaker"], str):
            found = Recording(folder / row["file"], row["speaker"], row["text"])
            by_speaker.setdefault(found.speaker, []).append(found)
    turns = sorted((turn, i) for i, own in enumerate(by_speaker.values()) for turn in range(len(own)))
    speakers = list(by_speaker.values())
    return [speakers[i][turn] for turn, i in turns[:count]]


def plain_words(text: str) -> list[str]:
    """Lower case, without punctuation, titles written out."""
    words = re.findall(r"[\w']+", text.lower().replace("’", "'"))
    return [SPELLED.get(word, word) for word in words]


def word_errors(heard: list[str], said: list[str]) -> int:
    """Fewest words to put in, take out or replace (Levenshtein 1966)."""
    row = np.arange(len(said) + 1)
    for count, word in enumerate(heard, start=1):
        replaced = row[:-1] + np.array([word != other for other in said], int)
        best = np.minimum(np.append(count, replaced), np.append(count, row[1:] + 1))
        row = np.minimum.accumulate(best - np.arange(len(best))) + np.arange(len(best))
    return int(row[-1])


def errors(recognise: Recogniser, chosen: list[Recording]) -> Iterator[tuple[int, int, float, float]]:
    """(wrong words, words, seconds of sound, seconds of processor time) of each recording."""
    for recording in chosen:
        wave = read_audio(recording.path)
        start = time.process_time()
        heard = plain_words(" ".join(word.text for word in recognise(wave)))
        taken = time.process_time() - start
        said = plain_words(recording.text)
        yield word_errors(heard, said), len(said), len(wave) / 16000, taken


def main() -> None:
    """Prints one line a recogniser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--longest", type=float, default=16.0)
    options = parser.parse_args()
    chosen = recordings(options.speech, options.count, options.longest)
    speakers = len({recording.speaker for recording in chosen})
    print(f"{len(chosen)} recordings of {speakers} speakers")
    for name, model in (("pocketsphinx", None), ("whisper", options.model)):
        recognise = recogniser(name, model)
        recognise(read_audio(chosen[0].path))
        wrong, words, sound_s, taken_s = np.array(list(errors(recognise, chosen))).T
        print(
            f"{name:13} {wrong.sum() / words.sum():6.1%} of {words.sum():.0f} words wrong "
            f"(median recording {np.median(wrong / words):.1%}), "
            f"{taken_s.sum() / sound_s.sum():.2f} s of processor time a second of sound"
        )


if __name__ == "__main__":
    main()
