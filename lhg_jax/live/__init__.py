"""A listener that answers as it hears: state and step of a live session (DESIGN 12).

`listener.LiveListener` is all that others need: sound and pictures in as they come, frames out. The other
files hold one part each: `sound.py` and `face.py` what comes in, `idle.py` what a listener does by themself.
Nothing here has a thread or a socket.
"""
