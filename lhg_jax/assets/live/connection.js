// The websocket: its messages (docs/live.md), and a new connection where one was lost.

const SOUND = 83, PICTURE = 73, PORTRAIT = 80, FRAME = 70;
const HEAD = 9, FRAME_HEAD = 13;
const RETRY_MS = 1000, PING_MS = 1000;
const MOST_WAITING = 256 * 1024; // bytes on their way, beyond which pictures are left out

export const nowUs = () => Math.round(performance.now() * 1000);

export const withToken = (path, more = "") => {
  const token = new URLSearchParams(location.search).get("token");
  return path + (token ? `?token=${encodeURIComponent(token)}${more && "&" + more}` : more && "?" + more);
};

function packed(kind, timeUs, body) {
  const message = new Uint8Array(HEAD + body.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, kind);
  view.setBigUint64(1, BigInt(Math.max(timeUs, 0)), true);
  message.set(new Uint8Array(body), HEAD);
  return message;
}

export class Connection {
  // `on` has a function for each type of text message, and `frame`, `open`, `closed`.
  constructor(on) {
    this.on = on;
    this.connect();
    setInterval(() => this.tell({ type: "ping", time_us: nowUs() }), PING_MS);
  }

  connect() {
    const address = new URL(withToken("live"), location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.tell({ type: "ping", time_us: nowUs() });
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = (event) => {
      this.on.closed(event.code, event.reason);
      setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  get isOpen() { return this.socket.readyState === WebSocket.OPEN; }

  receive(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      this.on[message.type]?.(message);
      return;
    }
    const view = new DataView(data);
    if (view.getUint8(0) !== FRAME) return;
    const timeUs = Number(view.getBigUint64(1, true));
    this.on.frame(timeUs, view.getUint32(9, true), new Blob([data.slice(FRAME_HEAD)], { type: "image/jpeg" }));
  }

  tell(fields) { if (this.isOpen) this.socket.send(JSON.stringify(fields)); }

  sendSound(timeUs, pcm) { if (this.isOpen) this.socket.send(packed(SOUND, timeUs, pcm)); }

  sendPicture(timeUs, jpeg) {
    if (this.isOpen && this.socket.bufferedAmount < MOST_WAITING) this.socket.send(packed(PICTURE, timeUs, jpeg));
  }

  sendPortrait(file) { if (this.isOpen) this.socket.send(packed(PORTRAIT, 0, file)); }
}
