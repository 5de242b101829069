import json
import re

import numpy as np
import pytest

from lhg_jax.speech.words import Word, frame_words, misfit, read_transcript
from lhg_jax.util.errors import UserError

SRT = """1
00:00:01,000 --> 00:00:02,000
<i>Hello</i> wide

2
00:01:00,500 --> 01:00:02,500 X1:40
- it's
"""
VTT = """WEBVTT - a title

NOTE a comment

intro
00:01.000 --> 00:02.000 align:start
<v Ann>Hello wide

01:00.500 --> 01:00:02.500
it's
"""
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "TextTier"
        name = "marks"
        xmin = 0
        xmax = 3.5
        points: size = 1
        points [1]:
            number = 1.5
            mark = "click"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 3.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 3.5
            text = "h"
    item [3]:
        class = "IntervalTier"
        name = "Words"
        xmin = 0
        xmax = 3.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 1
            text = ""
        intervals [2]:
            xmin = 1
            xmax = 1.5
            text = "say"
        intervals [3]:
            xmin = 1.5
            xmax = 2e0
            text = ""\"hi 5\"""
        intervals [4]:
            xmin = 2
            xmax = 3.5
            text = "sil"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
3.5
<exists>
1
"IntervalTier"
"utterance"
0
3.5
2
0
1
"ah, oh"
1
3.5
""
"""


def write(tmp_path, name, content, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def triples(words):
    return [(word.text, round(word.start_s, 4), round(word.end_s, 4)) for word in words]


CUES = [("Hello", 1.0, 1.5556), ("wide", 1.5556, 2.0), ("it's", 60.5, 3602.5)]
WORDS = [{"word": "b", "start": 0.5, "end": 0.75}, {"text": "a", "start": 0.25, "end": 0.5, "probability": 1}]


WORDS_WANTED = [("a", 0.25, 0.5), ("b", 0.5, 0.75)]
SEGMENTS = [{"text": " ab c", "start": 0, "end": 3}]


@pytest.mark.parametrize(
    "name, content, want",
    [
        ("a.srt", SRT, CUES),
        ("a.SRT", SRT.replace("\n", "\r\n"), CUES),
        ("a.vtt", VTT, CUES),
        ("a.vtt", "WEBVTT\n", []),
        ("a.srt", "", []),
        ("a.TextGrid", LONG, [("say", 1, 1.5), ('"hi', 1.5, 1.8333), ('5"', 1.8333, 2)]),
        ("a.textgrid", SHORT, [("ah,", 0, 0.5), ("oh", 0.5, 1)]),
        ("a.json", json.dumps(WORDS), WORDS_WANTED),
        ("a.json", json.dumps({"segments": [{"text": "a b", "words": WORDS}]}), WORDS_WANTED),
        ("a.json", json.dumps({"segments": SEGMENTS}), [("ab", 0, 2), ("c", 2, 3)]),
        ("a.json", "[]", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_formats(tmp_path, name, content, want, encoding):
    assert triples(read_transcript(write(tmp_path, name, content, encoding))) == [
        tuple(item) for item in want
    ]


def test_letters_beyond_ascii(tmp_path):
    path = write(tmp_path, "ü ü.srt", "1\n00:00:00,000 --> 00:00:03,000\nÀé 漢\n")
    assert triples(read_transcript(path)) == [("Àé", 0, 2), ("漢", 2, 3)]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.txt", "hello", "unknown kind of transcript"),
        ("a.srt", "hello there\n", "line 1: no cue"),
        ("a.srt", "1\n00:00:01; --> 00:00:02,000\nhi\n", "line 2: not a timing"),
        ("a.srt", "1\n00:00:03,000 --> 00:00:02,000\nhi\n", "line 2: times 3 to 2 s"),
        ("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n\xff\xfa\n", r"not UTF-8 text \(byte 32\)"),
        ("a.json", '[\n{"word": ]', "line 2: not JSON"),
        ("a.json", "3", "want a list of words"),
        ("a.json", '{"text": "x"}', "want a list of words"),
        ("a.json", '[{"word": "x", "start": 1}]', "entry 1: want"),
        ("a.json", '[{"word": "x", "start": "soon", "end": 2}]', "entry 1: want"),
        ("a.json", '[{"word": "x", "start": -1, "end": 2}]', "entry 1: times -1 to 2 s"),
        ("a.json", '[{"word": "x", "start": NaN, "end": 2}]', "entry 1: want"),
        ("a.json", '["x"]', "entry 1: want"),
        ("a.json", '[{"word": "x", "start": 1' + "0" * 400 + ', "end": 2}]', "entry 1: times inf"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '[{"word": "x"}, {"word": "y"}]', "entry 1: want"),
        ("a.json", '{"results": {}}', "not what a recogniser writes .KeyError: 'items'"),
        ("a.json", '{"events": [{"segs": [{"utf8": 3}]}]}', "not what a recogniser writes"),
        ("a.json", '{"transcription": null}', "not what a recogniser writes"),
        ("a.TextGrid", SHORT.replace("0\n1\n", "1e999\n1\n"), "is not finite"),
        ("a.TextGrid", "hello", "ends where the file type should be"),
        ("a.TextGrid", LONG[:500], "ends where"),
        ("a.TextGrid", SHORT.replace('"utterance"', "7"), 'line 9: want a tier name, not 7'),
        ("a.TextGrid", SHORT.replace("0\n1\n", "2\n1\n"), "'utterance', interval 1: times 2 to 1 s"),
        ("a.TextGrid", SHORT.replace('"TextGrid"', '"Pitch"'), "not a TextGrid"),
        ("a.TextGrid", SHORT.replace("<exists>\n1", "<exists>\n0"), "no interval tier"),
    ],
)  # fmt: skip
def test_unusable_transcripts_are_one_line(tmp_path, name, content, words):
    path = write(tmp_path, name, content)
    with pytest.raises(UserError, match=words) as caught:
        read_transcript(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


ROLLING = """WEBVTT
Kind: captions

00:00:00.000 --> 00:00:01.200 align:start position:0%
~
one<00:00:00.400><c> two</c><00:00:00.800><c> three</c>

00:00:01.200 --> 00:00:01.210 align:start position:0%
one two three
~

00:00:01.210 --> 00:00:02.400 align:start position:0%
one two three
four<00:00:01.600><c> five</c><00:00:02.000><c> six</c>

00:00:02.400 --> 00:00:02.410
four five six
~

00:00:02.410 --> 00:00:03.000
four five six
yeah
""".replace("~", " ")  # a line of one blank
ROLLING_WANTED = [
    ("one", 0, 0.4), ("two", 0.4, 0.8), ("three", 0.8, 1.2), ("four", 1.21, 1.6), ("five", 1.6, 2.0),
    ("six", 2.0, 2.4), ("yeah", 2.41, 3.0),
]  # fmt: skip


def test_automatic_captions_say_each_word_once(tmp_path):
    assert triples(read_transcript(write(tmp_path, "a.vtt", ROLLING))) == ROLLING_WANTED
    without_stamps = re.sub(r"<[^>]*>", "", ROLLING).replace("WEBVTT\nKind: captions\n\n", "")
    words = read_transcript(write(tmp_path, "a.srt", without_stamps))
    assert [word.text for word in words] == [word for word, _, _ in ROLLING_WANTED]
    assert [w.start_s for w in words][::3] == [0, 1.21, 2.41]


def test_what_people_say_twice_is_said_twice(tmp_path):
    cues = [("No.", 0, 1), ("No.", 1, 2), ("Why?", 2, 3), ("Why?\nSo.", 3, 4), ("Well.", 4, 5), ("Ah.", 6, 7)]
    text = "\n\n".join(f"{i}\n00:00:0{a},000 --> 00:00:0{b},000\n{t}" for i, (t, a, b) in enumerate(cues))
    words = read_transcript(write(tmp_path, "a.srt", text))
    assert [word.text for word in words] == ["No.", "No.", "Why?", "Why?", "So.", "Well.", "Ah."]


def test_captions_that_stay_for_another_line_end_where_it_starts(tmp_path):
    """As YouTube has them in SubRip; two people who speak at a time do so now and then."""
    cues = [("a b", 0, 4), ("c d", 2, 6), ("e f", 4, 8), ("g h", 6, 8)]
    text = "\n\n".join(f"{i}\n00:00:0{a},000 --> 00:00:0{b},000\n{t}" for i, (t, a, b) in enumerate(cues))
    want = [(letter, float(i), float(i + 1)) for i, letter in enumerate("abcdefgh")]
    assert triples(read_transcript(write(tmp_path, "a.srt", text))) == want
    once = text.replace("06,000 --> 00:00:08", "08,000 --> 00:00:09").replace("--> 00:00:06", "--> 00:00:04")
    once = once.replace("--> 00:00:04,000\na", "--> 00:00:03,000\na")
    assert triples(read_transcript(write(tmp_path, "a.srt", once)))[:2] == [("a", 0, 1.5), ("b", 1.5, 3)]


def test_captions_parted_by_lines_of_blanks(tmp_path):
    text = "1\n00:00:00,000 --> 00:00:01,000\nab\n \n2\n00:00:01,000 --> 00:00:02,000\nc\nd\n \n"
    assert [w.text for w in read_transcript(write(tmp_path, "a.srt", text))] == ["ab", "c", "d"]


def test_captions_without_empty_lines_and_with_other_fractions(tmp_path):
    text = (
        "1\n00:00:00 --> 00:00:01.250000\nab 7\n2\n00:00:01,5-->00:00:02,000000000\n12\nc\n"
        "3\n0:2:0 --> 0:2:1\n4\n"
    )
    words = [(word.text, word.start_s) for word in read_transcript(write(tmp_path, "a.srt", text))]
    assert words == [
        ("ab", 0),
        ("7", pytest.approx(1.25 * 2 / 3)),
        ("12", 1.5),
        ("c", pytest.approx(1.5 + 1 / 3)),
        ("4", 120),
    ]


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_entities_and_tags(tmp_path, suffix):
    text = "00:00:00.000 --> 00:00:04.000\n<v Ann>A &amp; B <i>&lt;c&gt;</i>&nbsp;it&#39;s 3 < 4\n"
    words = read_transcript(write(tmp_path, f"a.{suffix}", text))
    assert [word.text for word in words] == ["A", "B", "<c>", "it's", "3", "4"]


@pytest.mark.parametrize("name", ["a.json", "a.TextGrid", "a.srt"])
def test_entities_mean_the_same_in_every_kind_of_file(tmp_path, name):
    """YouTube's are escaped twice."""
    said = "it&#39;s &amp;#39;R&amp;amp;D&amp;#39;"
    contents = {
        "a.json": json.dumps([{"text": said, "start": 0, "end": 1}]),
        "a.TextGrid": SHORT.replace("ah, oh", said),
        "a.srt": f"00:00:00,000 --> 00:00:01,000\n{said}\n",
    }
    words = [word.text for word in read_transcript(write(tmp_path, name, contents[name]))]
    assert {"it's", "'R&D'"} <= set(words)


def test_words_without_times_stand_between_their_neighbours(tmp_path):
    words = [
        {"word": "$4"}, {"word": "a", "start": 0.5, "end": 1.0}, {"word": "12", "start": None},
        {"word": "1,234", "start": float("nan"), "end": ""},
        {"word": "b", "start": 2.2, "end": 3}, {"word": "5"},
    ]  # fmt: skip
    want = [
        ("$4", 0.2, 0.5),
        ("a", 0.5, 1.0),
        ("12", 1.0, 1.4),
        ("1,234", 1.4, 2.2),
        ("b", 2.2, 3),
        ("5", 3, 3.5),
    ]
    content = json.dumps({"segments": [{"start": 0.2, "end": 3.5, "text": "", "words": words}]})
    assert triples(read_transcript(write(tmp_path, "a.json", content))) == want
    assert triples(read_transcript(write(tmp_path, "a.json", json.dumps(words))))[1:-1] == want[1:-1]


def test_words_outside_the_clip_are_worth_a_word():
    words = [Word("a", 100.0, 500.0), Word("b", 600.0, 1500.0)]
    assert misfit(words, 2.0) == (
        "none of its words falls into the clip of 2.0 s: they run from 100 to 1500 s (are they milliseconds?)"
    )
    assert "milliseconds" not in misfit([Word("a", 3600.0, 3602.0)], 2.4)
    assert misfit(words, 100.1) is None and misfit([], 1.0) is None
    milliseconds = [Word("a", 1000.0 * start, 1000.0 * start + 400) for start in range(6)]
    assert misfit(milliseconds, 6.0) == (
        "only 1 of its 6 words fall into the clip of 6.0 s: they run from 0 to 5400 s "
        "(are they milliseconds?)"
    )
    assert misfit([Word("a", start / 2, start / 2 + 0.4) for start in range(6)], 1.5) is None


@pytest.mark.parametrize(
    "content",
    [
        {"transcription": [
            {"timestamps": {"from": "00:00:00,500"}, "offsets": {"from": 500, "to": 750}, "text": " one"},
            {"offsets": {"from": 750, "to": 1250}, "text": " two."},
        ]},
        {"result": [
            {"conf": 1.0, "word": "one", "start": 0.5, "end": 0.75},
            {"word": "two.", "start": 0.75, "end": 1.25},
        ], "text": "one two"},
        {"wireMagic": "pb3", "events": [
            {"tStartMs": 0, "dDurationMs": 9000, "id": 1},
            {"tStartMs": 500, "dDurationMs": 2000, "segs": [{"utf8": "one"}]},
            {"tStartMs": 740, "dDurationMs": 10, "aAppend": 1, "segs": [{"utf8": "\n"}]},
            {"tStartMs": 750, "dDurationMs": 500, "segs": [{"utf8": " two.", "tOffsetMs": 0}]},
        ]},
        {"results": {"channels": [{"alternatives": [{"transcript": "one two", "words": [
            {"word": "one", "start": 0.5, "end": 0.75}, {"word": "two.", "start": 0.75, "end": 1.25},
        ]}]}]}},
        {"results": {"items": [
            {"start_time": "0.5", "end_time": "0.75", "alternatives": [{"content": "one"}]},
            {"start_time": "0.75", "end_time": "1.25", "alternatives": [{"content": "two."}]},
            {"type": "punctuation", "alternatives": [{"content": "."}]},
        ]}},
        {"text": "one two.", "chunks": [
            {"text": " one", "timestamp": [0.5, 0.75]}, {"text": " two.", "timestamp": (0.75, 1.25)},
        ]},
        [{"text": "one", "start": 0.5, "duration": 0.25}, {"text": "two.", "start": 0.75, "duration": 0.5}],
        {"segments": [{"start": 0, "end": 9, "text": "one two."}], "words": [
            {"word": "one", "start": 0.5, "end": 0.75}, {"word": "two.", "start": 0.75, "end": 1.25},
        ]},
        {"segments": [{"start": 0, "end": 9, "text": "two three", "words": [
            {"word": "one", "start": 0.5, "end": 0.75}, {"word": "two.", "start": 0.75, "end": 1.25},
        ]}], "word_segments": [{"word": "three", "start": 0, "end": 1}]},
        {"word_segments": [
            {"word": "one", "start": 0.5, "end": 0.75}, {"word": "two.", "start": 0.75, "end": 1.25},
        ]},
    ],
    ids=[
        "whisper.cpp", "vosk", "youtube", "deepgram", "amazon", "transformers", "youtube list",
        "openai", "whisperx", "whisperx words",
    ],
)  # fmt: skip
def test_json_of_other_recognisers(tmp_path, content):
    words = read_transcript(write(tmp_path, "a.json", json.dumps(content)))
    assert triples(words) == [("one", 0.5, 0.75), ("two.", 0.75, 1.25)]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_transcript(tmp_path / "none.srt")
    (tmp_path / "folder.srt").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_transcript(tmp_path / "folder.srt")


def test_frames_belong_to_the_word_over_their_centre():
    words = [Word("a", 0.0, 0.05), Word("b", 0.05, 0.12), Word("tiny", 0.151, 0.16), Word("late", 9.0, 10.0)]
    rows = frame_words(words, 6)  # centres 0.0167 0.05 0.0833 0.1167 0.15 0.1833
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, [1, 2, 2, 2, 0, 0])


def test_later_start_wins_where_words_overlap():
    words = [Word("inner", 0.06, 0.1), Word("outer", 0.0, 0.2)]
    np.testing.assert_array_equal(frame_words(words, 6), [2, 2, 1, 2, 2, 2])


def test_no_words_no_rows():
    np.testing.assert_array_equal(frame_words([], 3), [0, 0, 0])
