"""The report's page: style, layout and script. `<!--name-->` marks what `report.py` fills in."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5f6b7a; --line: #d9dee5; --paper: #fff;
  --back: #f4f6f9; --ours: #1f6feb; --true: #8a94a3; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #9aa5b4; --line: #323a46;
  --paper: #1b2028; --back: #12161c; --ours: #6ea8ff; --true: #7d8896; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 0 0 12px; }
p { color: var(--dim); margin: 8px 0 0; } header p { margin: 0 0 22px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin-bottom: 18px; overflow-x: auto; }
.problems { border-color: var(--bad); } .problems h2 { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, .what { text-align: left; }
td.what { white-space: normal; color: var(--dim); font-size: 13px; }
thead th { font-size: 13px; color: var(--dim); font-weight: 600; }
tbody th { font-weight: 500; } .ours { color: var(--ours); font-weight: 600; } small { color: var(--dim); }
code { font-size: 12px; color: var(--dim); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 10px 18px; }
figure { margin: 0; } figcaption { font-size: 13px; font-weight: 600; }
svg { display: block; width: 100%; } svg text { fill: var(--dim); font-size: 11px; }
circle { fill: var(--ours); fill-opacity: .65; cursor: pointer; } circle:hover { fill-opacity: 1; }
.axis { stroke: var(--line); } .median { stroke: var(--dim); stroke-dasharray: 3 3; }
select { font: inherit; padding: 2px 6px; }
.players { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 18px; }
.player { border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
.player h3 { font-size: 14px; margin: 0 0 2px; overflow-wrap: anywhere; }
.player .value { color: var(--dim); font-size: 13px; margin: 0 0 8px; }
.player .sides { display: flex; justify-content: space-around; font-size: 12px; color: var(--dim); }
video { width: 100%; display: block; background: #000; border-radius: 4px; margin-bottom: 8px; }
.curve { display: grid; grid-template-columns: 84px 1fr; align-items: center; cursor: pointer;
  color: var(--dim); font-size: 11px; line-height: 1.25; }
.curve small { font-size: 10px; } .curve svg { height: 34px; border-bottom: 1px solid var(--line); }
.curve path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.reference { stroke: var(--true); } .prediction { stroke: var(--ours); }
.playhead { stroke: var(--bad); vector-effect: non-scaling-stroke; }
.key { display: inline-block; width: 18px; height: 3px; vertical-align: middle; margin: 0 4px 0 12px; }
button.clip { font: inherit; color: var(--ours); background: none; border: 0; padding: 0; cursor: pointer; }
"""

SCRIPT = """
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const byName = new Map(data.clips.map(clip => [clip.name, clip]));
const shown = value => value === null || value === undefined ? '\\u2013' : Number(value).toPrecision(4);

function element(tag, attributes = {}, ...children) {
  const svg = ['svg', 'path', 'line'].includes(tag);
  const space = svg ? 'http://www.w3.org/2000/svg' : 'http://www.w3.org/1999/xhtml';
  const node = document.createElementNS(space, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function curve(label, row) {
  const all = [...row.reference, ...row.prediction];
  const bottom = Math.min(...all), top = Math.max(...all);
  const span = Math.max(top - bottom, row.least), low = (bottom + top - span) / 2;
  const path = role => {
    const last = Math.max(row[role].length - 1, 1);
    const height = value => (31 - 28 * (value - low) / span).toFixed(2);
    const points = row[role].map((value, i) => (100 * i / last).toFixed(2) + ' ' + height(value));
    return element('path', {class: role, d: 'M' + points.join('L')});
  };
  const head = element('line', {class: 'playhead', x1: 0, x2: 0, y1: 0, y2: 34});
  const svg = element('svg', {viewBox: '0 0 100 34', preserveAspectRatio: 'none'},
    path('reference'), path('prediction'), head);
  const range = low.toFixed(1) + ' to ' + (low + span).toFixed(1);
  const text = element('span', {}, label, element('br'), element('small', {}, range));
  return {node: element('div', {class: 'curve'}, text, svg), svg, head};
}

function player(clip, metric) {
  const value = metric ? data.labels[metric] + ' ' + shown(clip.metrics[metric]) : '';
  const node = element('article', {class: 'player', 'data-clip': clip.name},
    element('h3', {}, clip.name), element('p', {class: 'value'}, value));
  for (const warning of clip.warnings) node.append(element('p', {class: 'value'}, warning));
  if (!clip.video) {
    node.append(element('p', {}, 'no video in this report'));
    return node;
  }
  const video = element('video', {controls: '', loop: '', playsinline: '', src: clip.video});
  const sides = ['true listener', 'prediction'].map(side => element('span', {}, side));
  node.append(element('div', {class: 'sides'}, ...sides), video);
  if (clip.curves) addCurves(node, video, clip.curves);
  return node;
}

function addCurves(node, video, curves) {
  const drawn = Object.entries(curves.rows).map(([label, row]) => curve(label, row));
  const follow = () => {
    const x = 100 * Math.min(video.currentTime / curves.duration_s, 1);
    for (const {head} of drawn) { head.setAttribute('x1', x); head.setAttribute('x2', x); }
  };
  const run = () => { follow(); if (!video.paused && video.isConnected) requestAnimationFrame(run); };
  video.addEventListener('play', run);
  video.addEventListener('seeked', follow);
  video.addEventListener('timeupdate', follow);
  for (const {node: line, svg} of drawn) {
    line.addEventListener('click', event => {
      const box = svg.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      video.currentTime = Math.min(share * curves.duration_s, video.duration || 0);
    });
    node.append(line);
  }
}

function ranked(metric) {
  const sign = data.better[metric] === 'higher' ? -1 : 1;
  return data.clips.filter(clip => Number.isFinite(clip.metrics[metric]))
    .sort((a, b) => sign * (a.metrics[metric] - b.metrics[metric]));
}

function showExtremes(metric) {
  const order = ranked(metric);
  const best = order.slice(0, 3), worst = order.slice(Math.max(best.length, order.length - 3)).reverse();
  document.getElementById('best').replaceChildren(...best.map(clip => player(clip, metric)));
  document.getElementById('worst').replaceChildren(...worst.map(clip => player(clip, metric)));
  document.getElementById('worst-title').hidden = worst.length === 0;
}

function showChosen(name) {
  const place = document.getElementById('chosen');
  place.replaceChildren(player(byName.get(name), null));
  place.scrollIntoView({behavior: 'smooth', block: 'nearest'});
}

function listClips(metrics) {
  const labels = ['Clip', ...metrics.map(name => data.labels[name])];
  const head = element('tr', {}, ...labels.map(label => element('th', {}, label)));
  const rows = data.clips.map(clip => {
    const name = element('button', {class: 'clip', type: 'button'}, clip.name);
    name.addEventListener('click', () => showChosen(clip.name));
    const cells = metrics.map(metric => element('td', {}, shown(clip.metrics[metric])));
    return element('tr', {}, element('th', {}, name), ...cells);
  });
  document.getElementById('clips').append(element('thead', {}, head), element('tbody', {}, ...rows));
}

const metrics = Object.keys(data.better).filter(name => data.better[name]);
const choice = document.getElementById('metric');
choice.append(...metrics.map(name => element('option', {value: name}, data.labels[name])));
choice.value = metrics.includes('exp_l1') ? 'exp_l1' : metrics[0];
choice.addEventListener('change', () => showExtremes(choice.value));
showExtremes(choice.value);
listClips(metrics);
document.querySelectorAll('circle[data-clip]').forEach(dot =>
  dot.addEventListener('click', () => showChosen(dot.dataset.clip)));
"""

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title><!--title--></title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header><h1><!--title--></h1><p><!--facts--></p></header>
<!--problems-->
<section><h2>Leaderboard</h2><!--leaderboard--></section>
<section><h2>All metrics</h2><!--metrics--></section>
<section><h2>Clip by clip</h2><div class="plots"><!--distributions--></div>
<p>A dot is a clip (click to play it below), the dashed line the median.</p></section>
<section><h2>Best clips by <select id="metric" aria-label="metric"></select></h2>
<div class="players" id="best"></div>
<h2 id="worst-title" style="margin-top:18px">Worst clips</h2><div class="players" id="worst"></div>
<p>Curves: <span class="key" style="background:var(--true);margin-left:0"></span>true listener
<span class="key" style="background:var(--ours)"></span>prediction. Click a curve to go there.</p></section>
<section><h2>Every clip</h2><div class="players" id="chosen"></div><table id="clips"></table></section>
</main>
<script type="application/json" id="data"><!--data--></script>
<script>{SCRIPT}</script>
</body>
</html>
"""
