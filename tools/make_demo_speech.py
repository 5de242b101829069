"""Makes the speech of the built-in demo: `python tools/make_demo_speech.py` writes assets/demo_speech.*.

The .flac is 16 kHz mono, .json lists its words with times, .motion.npz is how a speaker moves with it.
"""

import json
from pathlib import Path

import numpy as np
import soundfile

from lhg_jax.motion import FRAME_RATE, save_motion
from lhg_jax.simulator.grammar import Phrase
from lhg_jax.simulator.speaker import SpeakerParams, speaker_motion
from lhg_jax.simulator.speech import SAMPLE_RATE, SpeechParams, assemble, speak_phrase
from lhg_jax.simulator.voice import Espeak, VoiceSettings

ASSETS = Path(__file__).resolve().parent.parent / "lhg_jax" / "assets"
VOICE = VoiceSettings("en-us+f2", rate=152, pitch=48, pitch_range=55)
LOW_PERCENT = -35
# Start (s), words, end of the phrase, how many words at its end are low in pitch.
SCRIPT = (
    (0.40, "last summer we went to the harbour", ",", 2),
    (2.90, "and the concert was really wonderful", ".", 1),
    (6.00, "I didn't like the hotel", ",", 0),
    (7.85, "it was not perfect at all", ".", 2),
    (10.60, "but I loved every minute of the music", ".", 3),
)
DURATION_S = 14.5


def main() -> None:
    rng = np.random.default_rng(0)
    params = SpeechParams(level_db=(-22.0, -22.0), noise_db=(-70.0, -70.0))
    with Espeak() as espeak:
        spoken = []
        for start_s, text, end, low_words in SCRIPT:
            phrase = Phrase(tuple(text.split()), end)
            spoken.append((start_s, phrase, speak_phrase(espeak, phrase, VOICE, low_words, LOW_PERCENT)))
    speech = assemble(spoken, DURATION_S, VOICE, rng, params)
    ASSETS.mkdir(exist_ok=True)
    soundfile.write(ASSETS / "demo_speech.flac", speech.wave, SAMPLE_RATE, subtype="PCM_16")
    words = [{"word": w.text, "start": round(w.start_s, 3), "end": round(w.end_s, 3)} for w in speech.words]
    lines = ",\n".join(json.dumps(word) for word in words)
    (ASSETS / "demo_speech.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    motion = speaker_motion(
        speech, round(DURATION_S * FRAME_RATE), rng, SpeakerParams(base_angle=(1.0, 1.0, 1.0))
    )
    save_motion(ASSETS / "demo_speech.motion.npz", motion)


if __name__ == "__main__":
    main()
