"""Reading and writing video, audio and images; every time is in seconds on the file's clock."""

from lhg_jax.media.audio import SAMPLE_RATE, read_audio, write_audio
from lhg_jax.media.excerpts import WHOLE, Part, excerpt_frames, excerpt_sound
from lhg_jax.media.file_slice import FileSlice
from lhg_jax.media.images import at_most, decode_image, read_image, side_by_side, write_image
from lhg_jax.media.probing import MediaInfo, probe
from lhg_jax.media.timing import frame_times
from lhg_jax.media.video import Frame, read_frames
from lhg_jax.media.writer import SUFFIXES as VIDEO_SUFFIXES
from lhg_jax.media.writer import VideoWriter, video_encoder
