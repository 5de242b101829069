// Shows the listener's frames: one after the other, at an even pace, and never late ones.

const AHEAD = 4; // frames that the server may have on their way to us
const MOST_WAITING = 3; // frames that wait to be shown; with more, the oldest are left out
const PACE_MS = 28; // least time between two frames, unless so many wait: else they would wait for ever
const CROWD = 2;
const SPAN_MS = 1000; // over which the numbers are taken

export class Screen {
  constructor(canvas, want) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.want = want;
    this.waiting = [];
    this.shown = []; // [when, age] of the last second
    this.dropped = this.total = 0;
    this.lastNumber = null;
    this.lastShownMs = 0;
    requestAnimationFrame(() => this.tick());
  }

  async showPicture(address) {
    const answer = await fetch(address);
    if (!answer.ok) return;
    const bitmap = await createImageBitmap(await answer.blob());
    if (!this.total) this.draw(bitmap);
  }

  begin() {
    this.waiting = [];
    this.lastNumber = null;
    this.want(AHEAD);
  }

  async take(timeUs, number, jpeg) {
    const frame = { timeUs, number, bitmap: await createImageBitmap(jpeg) };
    this.waiting.push(frame);
    while (this.waiting.length > MOST_WAITING) {
      this.waiting.shift();
      this.want(1);
    }
  }

  tick() {
    requestAnimationFrame(() => this.tick());
    const now = performance.now();
    if (!this.waiting.length || (now - this.lastShownMs < PACE_MS && this.waiting.length < CROWD)) return;
    const frame = this.waiting.shift();
    this.draw(frame.bitmap);
    this.count(frame, now);
    this.lastShownMs = now;
    this.want(1);
  }

  draw(bitmap) {
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.context.drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  count(frame, now) {
    if (this.lastNumber !== null) this.dropped += Math.max(frame.number - this.lastNumber - 1, 0);
    this.lastNumber = frame.number;
    this.total += 1;
    this.shown.push([now, now - frame.timeUs / 1000]);
  }

  numbers() {
    const since = performance.now() - SPAN_MS;
    this.shown = this.shown.filter(([when]) => when > since);
    const ages = this.shown.map(([, age]) => age).sort((a, b) => a - b);
    return { fps: ages.length, age: ages[Math.floor(ages.length / 2)], dropped: this.dropped, total: this.total };
  }
}
