"""Endings by which commands find the videos and sounds of a folder; a file that is named may have any.

What is in a file decides how it is read, not its name.
"""

VIDEO_FILES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv",
    ".flv", ".3gp", ".ogv", ".mxf",
)  # fmt: skip
SOUND_FILES = (
    ".wav", ".flac", ".m4a", ".mp3", ".aac", ".ogg", ".opus", ".wma", ".aif", ".aiff", ".au", ".caf", ".ac3",
    ".mka", ".amr",
)  # fmt: skip
PICTURE_FILES = (".png", ".jpg", ".jpeg", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif")
