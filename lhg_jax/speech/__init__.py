"""What the speaker says and how it sounds: log-mel, MFCC, words with times, BERT word vectors (DESIGN 3).

`extract.extract_speech` turns one clip into all of them; the other files hold one of them each. Sound is mono
float32 in [-1, 1] at 16 kHz; frames are motion frames: frame t spans [t/30, (t+1)/30) s.
"""
