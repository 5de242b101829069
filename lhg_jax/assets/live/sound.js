// Audio worklet: whatever the browser records, as packets of 20 ms of 16-bit samples at 16 kHz.
// A polyphase filter (windowed sinc) takes out what 16 kHz cannot hold.

const RATE = 16000, PACKET = 320, ZEROS = 12;

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

function kernels(phases, step, half) {
  const cut = 0.94 / Math.max(step, 1); // of the input's half rate
  return Array.from({ length: phases }, (_, phase) => {
    const taps = Float32Array.from({ length: 2 * half + 1 }, (_, k) => {
      const x = k - half - phase / phases;
      const window = Math.abs(x) > half ? 0 : 0.5 + 0.5 * Math.cos((Math.PI * x) / half);
      return window * (x ? Math.sin(Math.PI * cut * x) / (Math.PI * x) : cut);
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    return taps.map((tap) => tap / sum);
  });
}

class Ears extends AudioWorkletProcessor {
  constructor() {
    super();
    const common = divisor(sampleRate, RATE);
    this.up = RATE / common;
    this.down = sampleRate / common;
    this.half = Math.ceil(ZEROS * Math.max(sampleRate / RATE, 1));
    this.kernels = kernels(this.up, sampleRate / RATE, this.half);
    this.held = new Float32Array(2 * this.half); // samples that later windows still read
    this.first = -2 * this.half; // where the first of them stands among all samples
    this.next = 0; // number of the next output sample
    this.packet = new Int16Array(PACKET);
    this.filled = 0;
    this.began = null;
  }

  process([channels]) {
    const length = channels[0]?.length ?? 128;
    this.began ??= currentFrame;
    const heard = new Float32Array(this.held.length + length);
    heard.set(this.held);
    for (const channel of channels) channel.forEach((x, i) => { heard[this.held.length + i] += x / channels.length; });
    this.resample(heard);
    return true;
  }

  resample(heard) {
    const end = this.first + heard.length;
    for (;;) {
      const whole = Math.floor((this.next * this.down) / this.up);
      if (whole + this.half >= end) break;
      const kernel = this.kernels[(this.next * this.down) % this.up];
      let sum = 0;
      for (let k = 0, i = whole - this.half - this.first; k < kernel.length; k++, i++) sum += kernel[k] * heard[i];
      this.put(sum);
      this.next++;
    }
    const from = Math.floor((this.next * this.down) / this.up) - this.half - this.first;
    this.held = heard.slice(from);
    this.first += from;
  }

  put(sample) {
    this.packet[this.filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
    if (this.filled < PACKET) return;
    const time = (this.began + ((this.next + 1 - PACKET) * this.down) / this.up) / sampleRate;
    this.port.postMessage({ time, pcm: this.packet.buffer }, [this.packet.buffer]);
    this.packet = new Int16Array(PACKET);
    this.filled = 0;
  }
}

registerProcessor("ears", Ears);
