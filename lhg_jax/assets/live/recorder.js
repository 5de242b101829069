// Records the listener, with the speaker's sound, into a file of this browser.

const KINDS = ["video/mp4;codecs=avc1,mp4a.40.2", "video/webm;codecs=vp9,opus", "video/webm"];

export class Recorder {
  // `changed` is called when recording has begun, which may take a moment, and when it has ended.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.isRunning = false;
  }

  start(soundTracks) {
    const stream = new MediaStream([...this.canvas.captureStream(30).getVideoTracks(), ...soundTracks]);
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    const pieces = [];
    this.recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: 2.5e6 });
    this.recorder.ondataavailable = ({ data }) => pieces.push(data);
    this.recorder.onstart = () => this.tell(true);
    this.recorder.onstop = () => {
      this.tell(false);
      this.save(new Blob(pieces, { type: mimeType }), mimeType);
    };
    this.recorder.start(1000);
  }

  stop() { if (this.recorder?.state === "recording") this.recorder.stop(); }

  tell(isRunning) {
    this.isRunning = isRunning;
    this.changed();
  }

  save(blob, mimeType) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const when = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    link.download = `listening-${when}.${mimeType.startsWith("video/mp4") ? "mp4" : "webm"}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
}
