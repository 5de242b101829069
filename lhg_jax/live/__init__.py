"""A listener that answers as it hears: state and step of a live session (DESIGN 12).

`listener.LiveListener` is all that a program needs: sound and pictures in as they come, frames out; it has no
thread and no socket. `sound.py` and `face.py` hold what comes in, `idle.py` what a listener does by themself,
`manner.py` how they do it.

`python -m lhg_jax.live` brings it into a browser with two processes. The server (`server.py`,
`session.py`, `access.py`, `protocol.py`, `timing.py`) speaks to the client; the work process (`worker.py`,
`portrait.py`) tracks, listens and draws; `work_process.py`, `pipe.py` and `mailbox.py` lie between them. The
page is in assets/live.
"""
