"""From a speaker and a portrait to a listener, one clip after another; `lhg_jax.Pipeline` is the way in.

`source` is what there is of a speaker (files or arrays), `core` the stages in their order, `listening` what
comes out of them, `request` and `many` what the commands are asked for, `stages` how progress is told.
"""
