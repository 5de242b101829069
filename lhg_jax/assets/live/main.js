// The page: what its buttons do, and what it says.

import { Connection, withToken } from "./connection.js";
import { Recorder } from "./recorder.js";
import { Screen } from "./screen.js";
import { Speaker } from "./speaker.js";

const MOST_PORTRAIT = 12 * 1024 * 1024;
const BUSY = 1013, REFUSED = 1008;
const $ = (id) => document.getElementById(id);

let speaker = null, playsFile = false, isReady = false, roundTripMs = null, why = "";

const connection = new Connection({
  hello(message) {
    playsFile = message.speaker;
    why = "";
    sendManner();
    state(message);
  },
  state(message) { state(message); },
  frame(timeUs, number, jpeg) { screen.take(timeUs, number, jpeg); },
  pong(message) { roundTripMs = performance.now() - message.time_us / 1000; },
  portrait(message) { advise(message.refused ? `This portrait cannot be used: ${message.refused}` : ""); },
  status(message) {
    $("seen").textContent = speaker ? (message.seen ? "seen" : "not seen") : "–";
    speaker?.keepPace(message.looked);
    $("load").textContent = `${Math.round(100 * message.load)} % of a core`;
  },
  closed(code, reason) {
    isReady = false;
    why = code === BUSY ? "Somebody else is talking to this listener. Waiting for them to finish …"
      : code === REFUSED ? `The server has closed the connection: ${reason}` : "No connection. Trying again …";
    say();
  },
});
const screen = new Screen($("listener"), (frames) => connection.tell({ type: "want", frames }));
const recorder = new Recorder($("listener"), say);
screen.showPicture(withToken("portrait.jpg"));

function state(message) {
  isReady = message.ready;
  if (isReady) screen.begin();
  say();
}

function say() {
  $("state").textContent = why || (!isReady ? "The listener is getting ready …"
    : speaker ? (playsFile ? "Listening to the film." : "Listening. Say something.") : "Ready.");
  $("start").textContent = speaker ? "Stop" : playsFile ? "Play the speaker" : "Start talking";
  $("start").disabled = !isReady && !speaker;
  $("record").disabled = !isReady && !recorder.isRunning;
  $("record").textContent = recorder.isRunning ? "Stop recording" : "Record";
  $("recording").hidden = !recorder.isRunning;
}

function advise(text) {
  $("advice").textContent = text;
  $("advice").hidden = !text;
}

$("start").onclick = async () => {
  advise("");
  $("start").disabled = true;
  if (speaker) {
    recorder.stop();
    await speaker.stop();
    speaker = null;
    $("speaker").replaceWith(fresh($("speaker")));
  } else {
    const one = new Speaker($("speaker"), connection);
    try {
      advise(await (playsFile ? one.startFile() : one.startCamera()));
      speaker = one;
    } catch (error) {
      advise(error.message);
      await one.stop();
    }
  }
  say();
};

// An element that was connected to an AudioContext stays with it, even when that is closed.
function fresh(video) {
  const other = video.cloneNode();
  other.removeAttribute("src");
  other.hidden = true;
  return other;
}

$("record").onclick = () => {
  if (recorder.isRunning) recorder.stop();
  else recorder.start(speaker ? speaker.soundTracks() : []);
};

function sendManner() {
  const liveliness = Number($("liveliness").value), attitude = Number($("attitude").value);
  connection.tell({ type: "manner", liveliness, attitude });
  $("liveliness").nextElementSibling.textContent = liveliness === 1 ? "as learned" : `× ${liveliness}`;
  $("attitude").nextElementSibling.textContent = attitude === 0 ? "neutral"
    : `${attitude > 0 ? "kind" : "critical"}, ${Math.round(100 * Math.abs(attitude))} %`;
}
$("liveliness").oninput = $("attitude").oninput = sendManner;

$("portrait").onchange = async ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (!file) return;
  if (file.size > MOST_PORTRAIT) return advise("This picture is larger than 12 MB.");
  advise("Looking for the face …");
  connection.sendPortrait(await file.arrayBuffer());
};

setInterval(() => {
  const { fps, age, dropped } = screen.numbers();
  $("fps").textContent = `${fps} a second`;
  $("age").textContent = fps && speaker ? `${Math.round(age)} ms` : "–";
  $("dropped").textContent = dropped;
  $("round-trip").textContent = roundTripMs === null ? "–" : `${roundTripMs.toFixed(1)} ms`;
}, 500);

// For tests and measurements.
window.live = {
  numbers: () => ({ ...screen.numbers(), roundTripMs, ready: isReady, pictures: speaker?.pictures }),
};
say();
