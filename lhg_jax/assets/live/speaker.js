// The speaker: camera and microphone, or a video that the server plays in their place.

import { nowUs, withToken } from "./connection.js";

const PICTURES = 12, FEWEST = 4, SPARE = 2; // a second: at most, at least, more than were looked at
const SIDE = 480, QUALITY = 0.8; // longest side in pixels, and quality of the JPEGs
const PACKET_S = 0.02, CLOCK_S = 5;

// A camera's usual 30 pictures a second would be taken in and shown for nothing: so many are never sent.
const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 15 }, facingMode: "user" };
const MICROPHONE = { echoCancellation: false, noiseSuppression: false, autoGainControl: true };

export class Speaker {
  constructor(video, connection) {
    this.video = video;
    this.connection = connection;
    this.canvas = document.createElement("canvas");
    this.stream = null;
    this.pictures = PICTURES;
  }

  // How many pictures the listener has looked at in the last second: the next second sends hardly more.
  keepPace(looked) { this.pictures = Math.max(FEWEST, Math.min(looked + SPARE, PICTURES)); }

  // Returns what is missing, as advice, or nothing.
  async startCamera() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give cameras only to pages of localhost or over https. Open this page as "
        + "http://localhost, or start the server with --tls.");
    }
    const missing = await this.open();
    this.video.srcObject = this.stream;
    this.video.muted = true;
    this.video.classList.add("mirrored");
    this.video.hidden = !this.stream.getVideoTracks().length;
    await this.video.play();
    this.context = new AudioContext();
    if (this.stream.getAudioTracks().length) await this.hear(this.context.createMediaStreamSource(this.stream));
    this.see();
    return missing;
  }

  async open() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA, audio: MICROPHONE });
      return "";
    } catch (error) {
      if (error.name === "NotAllowedError") {
        throw new Error("The browser may not use the camera and the microphone. Click the icon beside the address, "
          + "allow both, and press Start again.");
      }
      return this.openOne(error);
    }
  }

  // One of the two is better than none.
  async openOne(error) {
    for (const [constraints, advice] of [
      [{ audio: MICROPHONE }, "No camera can be used: you are heard, but not seen."],
      [{ video: CAMERA }, "No microphone can be used: you are seen, but not heard."],
    ]) {
      try {
        this.stream = await navigator.mediaDevices.getUserMedia(constraints);
        return advice;
      } catch { /* then the other one */ }
    }
    throw new Error(error.name === "NotReadableError"
      ? "Another program uses the camera or the microphone. Close it, and press Start again."
      : "No camera and no microphone were found. Plug one in and press Start again, or start the server with "
        + "--speaker and a video.");
  }

  async startFile() {
    this.video.src = withToken("speaker");
    this.video.muted = false;
    this.video.loop = true;
    this.video.hidden = false;
    try {
      await this.video.play();
    } catch (error) {
      throw new Error(`This browser cannot play the speaker's video (${error.name}). Convert it to mp4 with H.264.`);
    }
    this.context = new AudioContext();
    const source = this.context.createMediaElementSource(this.video);
    source.connect(this.context.destination);
    await this.hear(source);
    this.see();
    return this.video.videoWidth ? "" : "This browser cannot show the pictures of the speaker's video: they are only "
      + "heard. Convert it to mp4 with H.264.";
  }

  async hear(source) {
    await this.context.audioWorklet.addModule("static/sound.js");
    const ears = new AudioWorkletNode(this.context, "ears", { numberOfOutputs: 0 });
    const clock = new ContextClock();
    ears.port.onmessage = ({ data }) => this.connection.sendSound(clock.us(data.time), data.pcm);
    source.connect(ears);
    this.source = source;
    await this.context.resume();
  }

  see() {
    let busy = false;
    const look = () => {
      this.timer = setTimeout(look, 1000 / this.pictures);
      const { videoWidth: width, videoHeight: height } = this.video;
      if (busy || !width) return;
      const scale = Math.min(1, SIDE / Math.max(width, height)), timeUs = nowUs();
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
      busy = true;
      this.canvas.toBlob(async (blob) => {
        busy = false;
        if (blob) this.connection.sendPicture(timeUs, await blob.arrayBuffer());
      }, "image/jpeg", QUALITY);
    };
    look();
  }

  // The speaker's sound, for a recording.
  soundTracks() {
    if (!this.source) return [];
    const destination = this.context.createMediaStreamDestination();
    this.source.connect(destination);
    return destination.stream.getAudioTracks();
  }

  async stop() {
    clearTimeout(this.timer);
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.source = null;
    this.video.pause();
    this.video.hidden = true;
    await this.context?.close();
  }
}

// Puts the times of an AudioContext on the clock of performance.now(): the quickest packet of late took no time.
class ContextClock {
  constructor() { this.recent = []; }

  us(time) {
    const now = performance.now() * 1000, end = (time + PACKET_S) * 1e6;
    this.recent.push([now, now - end]);
    while (now - this.recent[0][0] > CLOCK_S * 1e6) this.recent.shift();
    return Math.round(time * 1e6 + Math.min(...this.recent.map(([, offset]) => offset)));
  }
}
