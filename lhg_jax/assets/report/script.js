'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const byName = new Map(data.clips.map(clip => [clip.name, clip]));
const shown = value => value === null || value === undefined ? '\u2013' : Number(value).toPrecision(4);

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
  const tenth = value => (Math.round(10 * value) / 10 || 0).toFixed(1);  // no -0.0
  const range = tenth(low) + ' to ' + tenth(low + span);
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
  const video = element('video', {loop: '', playsinline: '', preload: 'metadata', src: clip.video});
  const sides = ['true listener', 'prediction'].map(side => element('span', {}, side));
  node.append(element('div', {class: 'sides'}, ...sides), video, controls(video));
  if (clip.curves) addCurves(node, video, clip.curves);
  return node;
}

// Below the picture, not over the mouths in it.
function controls(video) {
  const button = element('button', {type: 'button'}, 'Play');
  const clock = element('span', {}, '0.0 s');
  const toggle = () => video.paused ? video.play() : video.pause();
  button.addEventListener('click', toggle);
  video.addEventListener('click', toggle);
  video.addEventListener('play', () => { button.textContent = 'Pause'; });
  video.addEventListener('pause', () => { button.textContent = 'Play'; });
  video.addEventListener('timeupdate', () => { clock.textContent = video.currentTime.toFixed(1) + ' s'; });
  return element('div', {class: 'controls'}, button, clock);
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
  const best = order.slice(0, Math.min(3, Math.ceil(order.length / 2)));  // no clip is among both
  const worst = order.slice(Math.max(best.length, order.length - 3)).reverse();
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
