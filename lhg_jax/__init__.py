"""lhg_jax: responsive listening heads in JAX. A speaker and one portrait in, a listening video out."""

__version__ = "0.1.0"
