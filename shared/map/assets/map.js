// The page of a token's map: draws it on a canvas, lists it beside, and asks for others.
const $ = (id) => document.getElementById(id);
const app = $("app"), canvas = $("canvas");
// Opaque: nothing behind it has to be mixed in with each frame.
const pen = canvas.getContext("2d", { alpha: false });
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const TURN = Math.PI * 2;

// ---------------------------------------------------------------- words and numbers
const whole = new Intl.NumberFormat("en");
const brief = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const short = (address) => `${address.slice(0, 6)}…${address.slice(-4)}`;
const percent = (share) => {
  const value = share * 100;
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return `${value.toFixed(value >= 10 ? 1 : 2)} %`;
};
const many = (count, one, more = `${one}s`) => `${whole.format(count)} ${count === 1 ? one : more}`;
const sum = (number) => (Number.isFinite(number) ? brief.format(number) : "–");
/** Whole tokens, or base units where nobody says how many make one. */
const amountOf = ({ amount, display }) => {
  if (display !== null) return `${sum(display)} ${map.token.symbol ?? ""}`;
  const digits = amount.length;
  return digits < 13 ? `${whole.format(Number(amount))} base units` : `${amount[0]}.${amount.slice(1, 3)} × 10${[...String(digits - 1)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")} base units`;
};
const WHY = {
  degree: "It deals with so many addresses that it says nothing of who belongs together.",
  contract: "It is a contract: many deal with it who do not know each other.",
  exchange: "It belongs to an exchange, which holds for its customers.",
  pool: "It is a pool that anyone trades with.",
  bridge: "It is a bridge to another chain.",
  router: "It is a router that passes on other people's trades.",
  burn: "It is a burn address: what it holds is out of circulation.",
};

/** An element; text is only ever text. */
function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (name === "class") element.className = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function say(text) {
  $("live").textContent = "";
  requestAnimationFrame(() => { $("live").textContent = text; });
}

// Files and strict browsers have no storage.
const stored = (storage, name) => { try { return window[storage].getItem(name); } catch { return null; } };
const store = (storage, name, value) => { try { window[storage].setItem(name, value); } catch { /* kept in this page only */ } };

// ---------------------------------------------------------------- colours
let palette = [], paint = {};
const hueOf = (rank) => ((rank - 1) * 137.508) % 360;

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function colourOf(rank) {
  if (rank <= palette.length) return palette[rank - 1];
  return isDark() ? `hsl(${hueOf(rank).toFixed(0)} 70% 68%)` : `hsl(${hueOf(rank).toFixed(0)} 58% 40%)`;
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  palette = [];
  for (let index = 0; value(`--c${index}`); index++) palette.push(value(`--c${index}`));
  paint = { ink: value("--ink"), quiet: value("--quiet"), ground: value("--ground"), glow: value("--ground-2"), alone: value("--alone"), hub: value("--hub"), dark: isDark() };
  looks.clear();
  sprites.clear();
  repaint();
}

const keyOf = (holder) => (holder.cluster ? holder.cluster : holder.excluded ? "hub" : "alone");
const tone = (key) => (typeof key === "number" ? colourOf(key) : paint[key]);

// How circles of a colour look. All of it covers what is behind: links end at a rim, and nothing is mixed in.
const looks = new Map();
function lookOf(key) {
  let made = looks.get(key);
  if (made) return made;
  const colour = tone(key);
  const mix = (part) => `color-mix(in srgb, ${colour} ${part}%, ${paint.ground})`;
  const [light, middle, deep, rim, flat] = typeof key === "number" ? (paint.dark ? [62, 46, 30, 100, 92] : [20, 30, 44, 100, 88])
    : key === "hub" ? (paint.dark ? [26, 20, 13, 62, 46] : [12, 19, 28, 66, 50])
    : paint.dark ? [46, 34, 22, 76, 62] : [13, 23, 35, 76, 60];
  // In the unit circle, lit from above on the left.
  const fill = pen.createRadialGradient(-0.34, -0.42, 0, -0.1, -0.14, 1.2);
  fill.addColorStop(0, mix(light));
  fill.addColorStop(0.5, mix(middle));
  fill.addColorStop(1, mix(deep));
  made = { fill, rim: mix(rim), flat: mix(flat), wide: typeof key === "number" ? 1.6 : 1.1, dashed: key === "hub", ground: mix(paint.dark ? 17 : 11), edge: mix(paint.dark ? 42 : 34) };
  looks.set(key, made);
  return made;
}

// Ready-made circles of whole radii, for as long as they change from frame to frame.
const sprites = new Map();
const SPRITE = 40;
function sprite(key, size, ratio) {
  const name = `${key}|${size}`;
  let made = sprites.get(name);
  if (made) return made;
  made = document.createElement("canvas");
  const half = Math.ceil((size + 1) * ratio);
  made.width = made.height = 2 * half;
  disc(made.getContext("2d"), lookOf(key), half, half, size, ratio);
  sprites.set(name, made);
  return made;
}

// ---------------------------------------------------------------- what is shown
let map = null;            // as the server laid it out
let nodes = [];            // its holders with where they are drawn now
let pairs = [];            // its links, both directions as one
let near = [];             // for each node the pairs it is in
let inner = [];            // for each cluster the pairs that make it one
let shown = 0;             // how many holders of those are shown
let hovered = -1, chosen = null;   // chosen: {holder} or {cluster}
let lit = null, dim = 0;   // who stands out, and how far the others step back
let withHubs = false;
let stage = { width: 1, height: 1, ratio: 1 };
let eye = { scale: 1, x: 0, y: 0 }, goal = null;
let grown = 1;             // 0..1 after a map has come

function take(next) {
  const before = new Map(nodes.map((node) => [node.address, node]));
  const isFirst = map === null;
  const wasAll = !isFirst && shown === map.circles.length;
  map = next;
  nodes = map.circles.map((circle, index) => {
    const old = before.get(circle.address);
    const from = old ? { x: old.nowX, y: old.nowY, r: old.nowR, alpha: old.alpha } : { x: circle.x, y: circle.y, r: 0, alpha: 0 };
    return { ...circle, index, rank: index + 1, key: keyOf(circle), from, nowX: from.x, nowY: from.y, nowR: from.r, alpha: from.alpha, pick: null };
  });
  const known = new Map();
  pairs = [];
  near = nodes.map(() => []);
  for (const [from, to, transfers, amount, joins] of map.links) {
    if (from === to) continue;
    const [a, b] = from < to ? [from, to] : [to, from];
    const name = a * 65536 + b;
    let pair = known.get(name);
    if (!pair) {
      pair = { a, b, joins: false, transfers: 0, there: 0, back: 0 };
      known.set(name, pair);
      pairs.push(pair);
      near[a].push(pair);
      near[b].push(pair);
    }
    pair.joins ||= joins;
    pair.transfers += transfers;
    if (from === a) pair.there += amount; else pair.back += amount;
  }
  const most = pairs.reduce((most, pair) => Math.max(most, pair.there + pair.back), 0) || 1;
  for (const pair of pairs) pair.width = 0.7 + 3.3 * Math.pow((pair.there + pair.back) / most, 0.25);
  shown = isFirst || wasAll ? nodes.length : Math.min(shown, nodes.length);
  hovered = -1;
  inner = map.clusters.map(() => []);
  for (const pair of pairs) if (pair.joins && nodes[pair.a].cluster) inner[nodes[pair.a].cluster - 1].push(pair);
  overview = null;
  grown = calm.matches ? 1 : 0;
  for (const node of nodes) if (calm.matches) settle(node, 1);
  readColours();
  describe();
  if (isFirst) { resize(); look(opening(), true); } else look(opening());
  const kept = chosen;
  chosen = null;
  choose(stillThere(kept), { quiet: true, still: true });
  begin();
}

function stillThere(kept) {
  if (!kept) return null;
  if (kept.cluster) return map.clusters.some((cluster) => cluster.rank === kept.cluster && cluster.id === kept.id) ? kept : null;
  const holder = nodes.findIndex((node) => node.address === kept.address);
  return holder < 0 ? null : { holder, address: kept.address };
}

function settle(node, part) {
  const { from } = node;
  node.nowX = from.x + (node.x - from.x) * part;
  node.nowY = from.y + (node.y - from.y) * part;
  node.nowR = from.r + (node.r - from.r) * part;
}

// ---------------------------------------------------------------- looking
function insets() {
  const narrow = stage.width < 620;
  // On a phone the sliders are below the map, not on it.
  const tray = $("tray").hidden || getComputedStyle($("tray")).position !== "absolute" ? 0 : $("tray").offsetHeight;
  return { left: 14, right: narrow ? 48 : 62, top: narrow ? 62 : 76, bottom: tray + (narrow ? 18 : 34) };
}

function framing(box) {
  const inset = insets();
  const width = Math.max(60, stage.width - inset.left - inset.right), height = Math.max(60, stage.height - inset.top - inset.bottom);
  const scale = Math.min(width / box.width, height / box.height, 14);
  return {
    scale,
    x: inset.left + width / 2 - (box.x + box.width / 2) * scale,
    y: inset.top + height / 2 - (box.y + box.height / 2) * scale,
  };
}

function fitting() {
  const few = nodes.slice(0, shown);
  if (!few.length) return framing(map.view);
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, r } of few) {
    left = Math.min(left, x - r); right = Math.max(right, x + r);
    top = Math.min(top, y - r); bottom = Math.max(bottom, y + r);
  }
  return framing({ x: left - 8, y: top - 8, width: right - left + 16, height: bottom - top + 16 });
}

/** The first look: on everybody but specks of hubs far out; where hubs would push the others into a corner, mostly on
 * the others. */
function opening() {
  const some = nodes.filter((node) => node.index < shown);
  const others = some.filter((node) => node.key !== "hub");
  if (others.length < 3) return fitting();
  const around = (few, margin) => {
    const edge = (of) => few.reduce((least, node) => Math.min(least, of(node)), Infinity);
    const left = edge(({ x, r }) => x - r), top = edge(({ y, r }) => y - r);
    const width = -edge(({ x, r }) => -x - r) - left, height = -edge(({ y, r }) => -y - r) - top;
    const room = 8 + Math.max(width, height) * margin;
    return framing({ x: left - room, y: top - room, width: width + 2 * room, height: height + 2 * room });
  };
  const all = around(some.filter((node) => node.key !== "hub" || node.r > 12), 0);
  const core = around(others, 0.06);
  return core.scale > all.scale * 1.35 ? core : all;
}

function look(at, now = false) {
  moved = performance.now();
  if (now || calm.matches) { eye = { ...at }; goal = null; } else goal = { ...at };
  begin();
}

function zoom(factor, x = stage.width / 2, y = stage.height / 2, now = false) {
  const from = goal && !now ? goal : eye;
  const least = map ? framing(map.view).scale * 0.4 : 0.1;
  const scale = Math.min(40, Math.max(least, from.scale * factor));
  const part = scale / from.scale;
  look({ scale, x: x - (x - from.x) * part, y: y - (y - from.y) * part }, now);
}

function move(dx, dy, now = false) {
  const from = goal && !now ? goal : eye;
  look({ scale: from.scale, x: from.x + dx, y: from.y + dy }, now);
}

function lookAt(box) {
  const at = framing(box);
  const all = fitting();
  at.scale = Math.min(at.scale, Math.max(all.scale * 5, 2.5));
  const inset = insets();
  at.x = (inset.left + stage.width - inset.right) / 2 - (box.x + box.width / 2) * at.scale;
  at.y = (inset.top + stage.height - inset.bottom) / 2 - (box.y + box.height / 2) * at.scale;
  look(at);
}

// ---------------------------------------------------------------- drawing
// What stands still among itself is a picture, wider than the stage; to move it is to copy it. Another one, sharp at
// the new scale or further aside, is painted in portions between frames and takes its place when it is done. Until
// then, and while circles themselves change, they are drawn one by one.

// How far a cluster's ground reaches around its circles and links.
const PAD = 7.5, padded = (scale) => Math.min(PAD, 20 / scale);
const NAMED = 19, LIVE = 64;   // the radii in pixels from which names stand, and follow the view
let picture = null, spare = null, overview = null, painting = null;
let running = false, isStill = false, last = 0, moved = 0, dash = 0, changed = true;
const frames = { count: 0, drawn: 0 };

/** What is painted shows no longer what it should. */
function repaint() {
  if (picture) spare = picture;
  picture = painting = null;
  changed = true;
}

function begin() {
  changed = true;
  isStill = false;
  if (running) return;
  running = true;
  last = performance.now();
  requestAnimationFrame(tick);
}

function tick(now) {
  const passed = Math.min(50, Math.max(0, now - last));
  last = now;
  let more = false;
  if (goal) {
    const part = 1 - Math.exp(-passed / 90);
    for (const name of ["scale", "x", "y"]) eye[name] += (goal[name] - eye[name]) * part;
    if (Math.abs(goal.x - eye.x) + Math.abs(goal.y - eye.y) < 0.3 && Math.abs(goal.scale / eye.scale - 1) < 0.001) { eye = goal; goal = null; }
    more = changed = true;
  }
  let alters = false;
  if (grown < 1) {
    grown = Math.min(1, grown + passed / 900);
    const late = 0.35 / Math.max(1, nodes.length);
    for (const node of nodes) {
      const part = Math.min(1, Math.max(0, (grown - node.index * late) / 0.65));
      settle(node, 1 - Math.pow(1 - part, 4));
    }
    alters = true;
  }
  for (const node of nodes) {
    const seen = node.index < shown ? 1 : 0;
    if (node.alpha === seen) continue;
    node.alpha = calm.matches ? seen : seen ? Math.min(1, node.alpha + passed / 160) : Math.max(0, node.alpha - passed / 160);
    alters = true;
  }
  if (alters) { repaint(); more = true; }
  const wanted = lit ? 1 : 0;
  if (dim !== wanted) {
    dim = calm.matches ? wanted : wanted > dim ? Math.min(1, dim + passed / 130) : Math.max(0, dim - passed / 170);
    if (dim === 0) resting = null;
    more = changed = true;
  }
  if (map && !alters) more = prepare(now) || more;
  isStill = !more;
  if (flows()) { dash = (dash + passed * 0.02) % 1000; more = changed = true; }
  if (changed) {
    changed = false;
    draw();
    frames.count++;
  }
  if (more || changed) requestAnimationFrame(tick); else running = false;
}

/** Dashes run along the links of who is pointed at, where they are few enough to follow. */
function flows() {
  const holder = hovered >= 0 ? hovered : chosen?.holder ?? -1;
  return holder >= 0 && !calm.matches && near[holder].length <= 40;
}

const snap = (value) => Math.round(value * stage.ratio) / stage.ratio;

/** Where a picture stands on the stage for this eye, and whether it leaves nothing of the stage bare. */
function placed({ scale, x, y, width, height }, at, spareRoom = 0) {
  const part = at.scale / scale;
  const left = at.x - x * part, top = at.y - y * part;
  const isWhole = left <= -spareRoom && top <= -spareRoom && left + width * part >= stage.width + spareRoom && top + height * part >= stage.height + spareRoom;
  return { part, left, top, isWhole };
}

/** Paints on at the next picture; true while there is something left to do. */
function prepare(now) {
  const isMoving = now - moved < 110;
  if (!painting) {
    const at = goal ?? eye;
    const { part, isWhole } = picture ? placed(picture, at, goal ? 0 : Math.min(40, picture.room / 2)) : { part: 0, isWhole: false };
    const isSharp = Math.abs(part - 1) < 1e-6;
    if (!picture || !isWhole || part > 1.7 || part < 0.6 || (!isSharp && (goal || !isMoving))) painting = commission(at);
    else if (!overview && !isMoving) painting = commission(null);
    else return !isSharp || !overview;
  }
  // A browser may put off all drawing until it is looked at: a pixel is, now and then, so that the time is known.
  const until = performance.now() + (isMoving || goal ? 4 : 9);
  for (let work = 0; painting;) {
    const { done, value } = painting.steps.next();
    if (done) {
      painting.pen.getImageData(0, 0, 1, 1);
      if (painting.isOverview) overview = painting; else { spare = picture; picture = painting; }
      painting = null;
      changed = true;
    } else if ((work += value) > 60) {
      painting.pen.getImageData(0, 0, 1, 1);
      work = 0;
      if (performance.now() > until) break;
    }
  }
  return true;
}

/** A picture around this view, or of everything; it is painted as `steps` are taken. */
function commission(at) {
  const { ratio } = stage;
  let to;
  if (at) {
    const margin = Math.max(0.04, Math.min(0.25, (Math.sqrt(9e6 / (stage.width * stage.height * ratio * ratio)) - 1) / 2));
    const aside = snap(stage.width * margin), above = snap(stage.height * margin);
    to = { scale: at.scale, x: snap(at.x) + aside, y: snap(at.y) + above, width: stage.width + 2 * aside, height: stage.height + 2 * above, room: Math.min(aside, above) };
  } else {
    const { x, y, width, height } = map.view;
    const scale = Math.min(2, 1100 / Math.max(width, height) / ratio), room = 60;
    to = { scale, x: room - x * scale, y: room - y * scale, width: width * scale + 2 * room, height: height * scale + 2 * room };
  }
  to.canvas = (at && spare?.canvas) || document.createElement("canvas");
  to.isOverview = !at;
  if (at) spare = null;
  const [width, height] = [Math.round(to.width * ratio), Math.round(to.height * ratio)];
  if (to.canvas.width !== width || to.canvas.height !== height) { to.canvas.width = width; to.canvas.height = height; }
  to.pen = to.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  to.steps = paintOn(to.pen, to, false);
  return to;
}

let resting = null;        // who stood out until now, while the others come back
const strength = (index) => {
  const set = lit ?? resting;
  return !set || set.has(index) ? 1 : 1 - 0.86 * dim;
};

/** From now on it is filled with the ground, lighter around this point. */
function shine(pen, x, y, r) {
  const glow = pen.createRadialGradient(x, y, 0, x, y, r);
  glow.addColorStop(0, paint.glow);
  glow.addColorStop(1, paint.ground);
  pen.fillStyle = glow;
}

/** The transform in which places of the map are drawn. */
const enter = (pen, at) => pen.setTransform(stage.ratio * at.scale, 0, 0, stage.ratio * at.scale, stage.ratio * at.x, stage.ratio * at.y);

function curve(pen, pair) {
  const a = nodes[pair.a], b = nodes[pair.b];
  const dx = b.nowX - a.nowX, dy = b.nowY - a.nowY;
  const length = Math.hypot(dx, dy) || 1;
  const bow = Math.min(length * 0.11, 26);
  pen.moveTo(a.nowX, a.nowY);
  pen.quadraticCurveTo((a.nowX + b.nowX) / 2 - (dy / length) * bow, (a.nowY + b.nowY) / 2 + (dx / length) * bow, b.nowX, b.nowY);
}

/** A circle at these device pixels; its radius is in the page's. */
function disc(pen, look, x, y, size, ratio) {
  pen.setTransform(size * ratio, 0, 0, size * ratio, x, y);
  pen.beginPath();
  pen.arc(0, 0, 1, 0, TURN);
  pen.fillStyle = size < 4.5 ? look.flat : look.fill;
  pen.fill();
  if (size < 4.5) return;
  pen.strokeStyle = look.rim;
  pen.lineWidth = look.wide / size;
  if (look.dashed) pen.setLineDash([5 / size, 4 / size]);
  pen.stroke();
  if (look.dashed) pen.setLineDash([]);
}

function circle(pen, at, node) {
  const { ratio } = stage;
  disc(pen, lookOf(node.key), ratio * (node.nowX * at.scale + at.x), ratio * (node.nowY * at.scale + at.y), node.nowR * at.scale, ratio);
}

/** A cluster's ground: its links and circles, wider; first a little wider still, which leaves an edge. */
function* groundOf(pen, at, { rank, members }) {
  if (members[1] >= shown) return;
  const { ground, edge } = lookOf(rank);
  let work = 0;
  pen.lineCap = "round";
  const pad = padded(at.scale);
  for (const [colour, wide] of [[edge, pad + 1 / at.scale], [ground, pad]]) {
    pen.fillStyle = pen.strokeStyle = colour;
    pen.lineWidth = 2 * wide;
    for (const pair of inner[rank - 1]) {
      if (pair.a >= shown || pair.b >= shown) continue;
      pen.beginPath(); curve(pen, pair); pen.stroke();
      if ((work += 1.5) > 30) { yield work; work = 0; }
    }
    for (const member of members) {
      if (member >= shown) break;
      const { nowX, nowY, nowR } = nodes[member];
      pen.beginPath(); pen.arc(nowX, nowY, nowR + wide, 0, TURN); pen.fill();
      if ((work += 1) > 30) { yield work; work = 0; }
    }
  }
  yield work;
}

/** Everything, step by step; each yields about how much work it was. */
function* paintOn(pen, at, isQuick) {
  const { ratio } = stage;
  const { scale, width, height } = at;
  const left = -at.x / scale, top = -at.y / scale, right = left + width / scale, bottom = top + height / scale;
  const inView = (x, y, r) => x + r > left && x - r < right && y + r > top && y - r < bottom;

  // The ground, lighter where the map is.
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.globalAlpha = 1;
  const { view } = map;
  const [cx, cy] = [ratio * ((view.x + view.width / 2) * scale + at.x), ratio * ((view.y + view.height / 2) * scale + at.y)];
  shine(pen, cx, cy, ratio * scale * Math.hypot(view.width, view.height) * 0.62);
  pen.fillRect(0, 0, Math.ceil(width * ratio), Math.ceil(height * ratio));
  yield 150;

  enter(pen, at);
  pen.globalAlpha = Math.min(1, Math.max(0, grown * 2 - 1));
  for (const cluster of map.clusters) {
    if (inView(cluster.x, cluster.y, cluster.r + PAD) && pen.globalAlpha > 0) yield* groundOf(pen, at, cluster);
  }

  // Links.
  const thin = 1 / Math.sqrt(scale);
  let work = 0;
  for (const pair of pairs) {
    if ((!pair.joins && !withHubs) || pair.a >= shown || pair.b >= shown) continue;
    pen.globalAlpha = (pair.joins ? 0.62 : 0.14) * Math.min(1, grown * 1.5);
    pen.strokeStyle = tone(pair.joins ? nodes[pair.a].cluster ?? "alone" : "hub");
    pen.lineWidth = pair.joins ? pair.width * thin : 0.9 / scale;
    pen.beginPath(); curve(pen, pair); pen.stroke();
    if ((work += pair.joins ? 1.5 : 2.5) > 30) { yield work; work = 0; }
  }

  // Circles.
  let drawn = 0;
  for (const node of nodes) {
    const { nowX: x, nowY: y, nowR: r } = node;
    if (node.alpha <= 0 || r <= 0 || !inView(x, y, r)) continue;
    drawn++;
    pen.globalAlpha = node.alpha;
    const size = Math.round(r * scale);
    if (isQuick && size < SPRITE) {
      const made = sprite(node.key, Math.max(1, size), ratio);
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.drawImage(made, Math.round(ratio * (x * scale + at.x) - made.width / 2), Math.round(ratio * (y * scale + at.y) - made.height / 2));
    } else circle(pen, at, node);
    if ((work += size < 40 ? 1 : 6) > 30) { yield work; work = 0; }
  }
  frames.drawn = at.isOverview ? frames.drawn : drawn;

  // Names, where there is room.
  if (at.isOverview) return;
  let named = 0;
  for (const node of nodes) {
    const size = node.nowR * scale;
    if (size < NAMED || size >= LIVE || node.alpha < 1 || !inView(node.nowX, node.nowY, node.nowR)) continue;
    if (++named > 160) break;
    write(pen, at, node, grown);
    if ((work += 3) > 30) { yield work; work = 0; }
  }
}

/** A holder's name and share in its circle, in whole pixels so that they are sharp. The largest keep theirs in view. */
function write(pen, at, node, alpha) {
  const { ratio } = stage;
  const size = node.nowR * at.scale;
  let x = node.nowX * at.scale + at.x, y = node.nowY * at.scale + at.y;
  const font = Math.max(9.5, Math.min(20, size * 0.26));
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = paint.ink;
  const text = size > 30 ? fitted(node, size * 1.66, font) : null;
  const heavy = `620 ${font}px Inter, system-ui, sans-serif`;
  if (size >= LIVE) {
    pen.font = heavy;
    const half = pen.measureText(text).width / 2;
    const within = (value, room, whole) => (whole > 2 * room ? Math.min(whole - room, Math.max(room, value)) : value);
    const dx = within(x, half + 12, stage.width) - x, dy = within(y, 50, stage.height) - y;
    const away = Math.hypot(dx, dy), part = Math.min(1, (size - half - 8) / (away || 1));
    x += dx * part;
    y += dy * part;
    // Half a name is none.
    if (x < half || x > stage.width - half) return;
  }
  x = Math.round(x);
  y = Math.round(y);
  pen.globalAlpha = alpha;
  if (text) {
    pen.font = heavy;
    pen.fillText(text, x, y - font * 0.58);
  }
  pen.font = `${text ? 450 : 600} ${font * (text ? 0.9 : 1)}px Inter, system-ui, sans-serif`;
  pen.globalAlpha = alpha * (text ? 0.8 : 1);
  pen.fillText(percent(node.share), x, text ? y + font * 0.66 : y);
}

function draw() {
  const { width, height, ratio } = stage;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.globalAlpha = 1;
  pen.fillStyle = paint.ground;
  if (!map) {
    shine(pen, canvas.width / 2, canvas.height / 2, Math.max(canvas.width, canvas.height) * 0.6);
    pen.fillRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const at = { scale: eye.scale, x: snap(eye.x), y: snap(eye.y), width, height };
  const set = lit ?? resting;
  if (picture) {
    const { part, left, top, isWhole } = placed(picture, at);
    if (!isWhole || set) pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.globalAlpha = set ? 1 - 0.86 * dim : 1;
    if (!isWhole && overview) {
      const under = placed(overview, at);
      pen.drawImage(overview.canvas, under.left * ratio, under.top * ratio, overview.canvas.width * under.part, overview.canvas.height * under.part);
    }
    if (part === 1) pen.drawImage(picture.canvas, Math.round(left * ratio), Math.round(top * ratio));
    else pen.drawImage(picture.canvas, left * ratio, top * ratio, picture.canvas.width * part, picture.canvas.height * part);
  } else {
    for (const _ of paintOn(pen, at, true));
    if (set) {
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.globalAlpha = 0.86 * dim;
      pen.fillStyle = paint.ground;
      pen.fillRect(0, 0, canvas.width, canvas.height);
    }
  }
  if (set) standOut(at, set);

  // Names of the largest go with the view, so that they are read also where a part of the circle is seen.
  for (const node of nodes) {
    const size = node.nowR * at.scale;
    // Few are larger than those before them.
    if (node.index > 60) break;
    const x = node.nowX * at.scale + at.x, y = node.nowY * at.scale + at.y;
    if (size < LIVE || node.alpha < 1 || x + size < 0 || x - size > width || y + size < 0 || y - size > height) continue;
    write(pen, at, node, strength(node.index) * grown);
  }
  pen.globalAlpha = 1;
}

/** Those that stand out, over the others that step back. */
function standOut(at, set) {
  const { scale } = at;
  const isSeen = ({ nowX, nowY, nowR }) => {
    const x = nowX * scale + at.x, y = nowY * scale + at.y, r = nowR * scale;
    return x + r > 0 && x - r < stage.width && y + r > 0 && y - r < stage.height;
  };
  const holder = hovered >= 0 ? hovered : chosen?.holder ?? -1;
  const rank = holder >= 0 ? nodes[holder].cluster : chosen?.cluster;
  enter(pen, at);
  pen.lineCap = "round";
  if (rank) {
    const thin = 1 / Math.sqrt(scale);
    pen.globalAlpha = dim;
    for (const _ of groundOf(pen, at, map.clusters[rank - 1]));
    pen.strokeStyle = tone(rank);
    pen.globalAlpha = 0.62 * dim;
    for (const pair of inner[rank - 1]) {
      if (pair.a >= shown || pair.b >= shown) continue;
      pen.lineWidth = pair.width * thin;
      pen.beginPath(); curve(pen, pair); pen.stroke();
    }
  }
  // Who is pointed at or chosen: its links, flowing from sender to receiver, and a ring.
  if (holder >= 0 && holder < shown) {
    const isFlowing = flows(), isCrowd = near[holder].length > 60;
    for (const pair of near[holder]) {
      if (pair.a >= shown || pair.b >= shown) continue;
      pen.strokeStyle = pair.joins ? tone(nodes[holder].key) : paint.quiet;
      pen.lineWidth = (isCrowd ? 0.8 : Math.max(1.2, pair.width * 0.8)) / scale;
      pen.globalAlpha = (pair.joins ? 0.5 : isCrowd ? 0.2 : 0.36) * dim;
      pen.beginPath(); curve(pen, pair); pen.stroke();
      if (!isFlowing) continue;
      pen.globalAlpha = 0.95 * dim;
      pen.setLineDash([3 / scale, 9 / scale]);
      pen.lineDashOffset = ((pair.there >= pair.back ? -1 : 1) * dash) / scale;
      pen.beginPath(); curve(pen, pair); pen.stroke();
      pen.setLineDash([]);
    }
  }
  let named = 0;
  for (const index of set) {
    const node = nodes[index];
    if (!node || node.alpha <= 0 || !isSeen(node)) continue;
    pen.globalAlpha = node.alpha * dim;
    circle(pen, at, node);
    const size = node.nowR * scale;
    if (size >= NAMED && size < LIVE && ++named < 80) write(pen, at, node, dim);
  }
  if (holder >= 0 && holder < shown) {
    const node = nodes[holder];
    enter(pen, at);
    pen.globalAlpha = dim;
    pen.strokeStyle = paint.ink;
    pen.lineWidth = 2.2 / scale;
    pen.beginPath(); pen.arc(node.nowX, node.nowY, node.nowR + 2.4 / scale, 0, TURN); pen.stroke();
  }
}

/** The name or the short address, if it fits. */
function fitted(node, width, font) {
  const room = width / (font * 0.57);
  if (node.label && node.label.length <= room) return node.label;
  if (node.label && room >= 8) return `${node.label.slice(0, Math.floor(room) - 1)}…`;
  const text = short(node.address);
  return text.length <= room ? text : null;
}

function resize() {
  const box = canvas.getBoundingClientRect();
  const ratio = Math.min(2, devicePixelRatio || 1);
  const before = stage;
  stage = { width: Math.max(1, box.width), height: Math.max(1, box.height), ratio };
  const isOther = before.width !== stage.width || before.height !== stage.height;
  if (!isOther && before.ratio === ratio) return false;
  canvas.width = Math.round(stage.width * ratio);
  canvas.height = Math.round(stage.height * ratio);
  sprites.clear();
  repaint();
  changed = true;
  return isOther;
}

// ---------------------------------------------------------------- pointing
function hit(x, y, slack) {
  const wx = (x - eye.x) / eye.scale, wy = (y - eye.y) / eye.scale, reach = slack / eye.scale;
  let best = -1, least = Infinity;
  for (const node of nodes) {
    if (node.index >= shown) break;
    const away = Math.hypot(node.x - wx, node.y - wy) - node.r;
    if (away < reach && away < least) { best = node.index; least = away; }
  }
  return best;
}

/** The cluster whose ground this is. */
function within(x, y) {
  const wx = (x - eye.x) / eye.scale, wy = (y - eye.y) / eye.scale, pad = padded(eye.scale);
  const isOn = ({ a, b }) => {
    const from = nodes[a], dx = nodes[b].x - from.x, dy = nodes[b].y - from.y;
    const part = Math.min(1, Math.max(0, ((wx - from.x) * dx + (wy - from.y) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(wx - from.x - part * dx, wy - from.y - part * dy) < pad + 3 / eye.scale;
  };
  return map.clusters.find(({ rank, x: cx, y: cy, r, members }) => Math.hypot(cx - wx, cy - wy) < r + pad
    && (members.some((member) => member < shown && Math.hypot(nodes[member].x - wx, nodes[member].y - wy) < nodes[member].r + pad)
      || inner[rank - 1].some((pair) => pair.a < shown && pair.b < shown && isOn(pair))));
}

function light() {
  const holder = hovered >= 0 ? hovered : chosen?.holder;
  const before = lit;
  lit = null;
  if (holder >= 0) {
    lit = new Set([holder]);
    for (const pair of near[holder]) { lit.add(pair.a); lit.add(pair.b); }
    const { cluster } = nodes[holder];
    if (cluster) for (const member of map.clusters[cluster - 1].members) lit.add(member);
  } else if (chosen?.cluster) {
    lit = new Set(map.clusters[chosen.cluster - 1].members);
  }
  if (before && !lit) resting = before;
  begin();
}

function hover(index, x, y) {
  const tip = $("tip");
  if (index !== hovered) {
    hovered = index;
    canvas.classList.toggle("over", index >= 0);
    light();
    tip.hidden = index < 0;
    if (index >= 0) {
      const node = nodes[index];
      const what = node.cluster ? `cluster ${node.cluster}` : node.excluded ? `hub: ${node.excluded}` : "on its own";
      tip.replaceChildren(
        make("b", {}, node.label ?? short(node.address)),
        make("span", { class: "share" }, percent(node.share)), make("span", {}, ` · #${node.rank} · ${what}`),
      );
    }
  }
  if (index >= 0) {
    const box = tip.getBoundingClientRect();
    const left = x + 18 + box.width > stage.width ? x - 14 - box.width : x + 18;
    const up = y + 18 + box.height > stage.height ? y - 12 - box.height : y + 18;
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, up)}px)`;
  }
}

const pointers = new Map();
let travelled = 0, spread = 0, pressed = 0;
const place = (event) => { const box = canvas.getBoundingClientRect(); return { x: event.clientX - box.left, y: event.clientY - box.top }; };

canvas.addEventListener("pointerdown", (event) => {
  if (!map || (event.button && event.pointerType === "mouse")) return;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, place(event));
  if (pointers.size === 1) { travelled = 0; pressed = event.timeStamp; }
  spread = 0;
});
canvas.addEventListener("pointermove", (event) => {
  if (!map) return;
  const at = place(event), from = pointers.get(event.pointerId);
  if (!from) {
    if (event.pointerType !== "touch") hover(hit(at.x, at.y, 3), at.x, at.y);
    return;
  }
  pointers.set(event.pointerId, at);
  travelled += Math.hypot(at.x - from.x, at.y - from.y);
  if (pointers.size === 2) {
    const [a, b] = [...pointers.values()];
    const now = Math.hypot(a.x - b.x, a.y - b.y);
    if (spread > 0) zoom(now / spread, (a.x + b.x) / 2, (a.y + b.y) / 2, true);
    spread = now;
    move((at.x - from.x) / 2, (at.y - from.y) / 2, true);
  } else if (travelled > 4) {
    canvas.classList.add("dragging");
    hover(-1);
    move(at.x - from.x, at.y - from.y, true);
  }
});
const lift = (event) => {
  if (!pointers.delete(event.pointerId)) return;
  canvas.classList.remove("dragging");
  if (event.type === "pointerup" && travelled <= (event.pointerType === "touch" ? 10 : 4) && !pointers.size && event.timeStamp - pressed < 700) {
    const at = place(event);
    const holder = hit(at.x, at.y, event.pointerType === "touch" ? 12 : 3);
    const cluster = holder < 0 ? within(at.x, at.y) : null;
    choose(holder >= 0 ? { holder } : cluster ? { cluster: cluster.rank } : null, { still: true });
  }
};
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);
canvas.addEventListener("pointerleave", () => hover(-1));
canvas.addEventListener("dblclick", (event) => { const at = place(event); zoom(event.shiftKey ? 0.5 : 2, at.x, at.y); });
canvas.addEventListener("wheel", (event) => {
  if (!map) return;
  event.preventDefault();
  const at = place(event);
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0017)), at.x, at.y, true);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  if (!map || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = event.shiftKey ? 200 : 70;
  const does = {
    ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
    "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), "0": () => look(fitting()), Home: () => look(fitting()),
  }[event.key];
  if (does) { event.preventDefault(); does(); }
});
addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement && event.target.type !== "range";
  if (event.key === "Escape" && map) {
    if (typing && event.target.value) return;
    choose(null);
  } else if (event.key === "/" && !typing && map) { event.preventDefault(); $("search").focus(); }
});
$("zoom-in").addEventListener("click", () => zoom(1.6));
$("zoom-out").addEventListener("click", () => zoom(1 / 1.6));
$("zoom-all").addEventListener("click", () => look(fitting()));
$("hub-links").addEventListener("click", () => {
  withHubs = !withHubs;
  $("hub-links").setAttribute("aria-pressed", withHubs);
  repaint();
  overview = null;
  begin();
});

// ---------------------------------------------------------------- choosing
function choose(what, { quiet = false, still = false } = {}) {
  if (what?.holder >= 0) what = { holder: what.holder, address: nodes[what.holder].address };
  if (what?.cluster) what = { cluster: what.cluster, id: map.clusters[what.cluster - 1].id };
  chosen = what;
  if (what?.holder >= shown) showTop(what.holder + 1);
  light();
  for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
  for (const pick of document.querySelectorAll(".pick[aria-pressed=true]")) pick.setAttribute("aria-pressed", "false");
  const name = what?.holder >= 0 ? `h${what.holder}` : what?.cluster ? `c${what.cluster}` : null;
  const row = name && document.querySelector(`tr[data-of="${name}"]`);
  if (row) {
    row.classList.add("chosen");
    row.querySelector(".pick").setAttribute("aria-pressed", "true");
  }
  if (!quiet) {
    const hash = what?.address ? `#${what.address}` : what?.cluster ? `#cluster-${what.cluster}` : "";
    try { history.replaceState(null, "", location.pathname + location.search + hash); } catch { /* a file's address stays */ }
  }
  detail(quiet);
  if (!still && what) {
    const at = what.holder >= 0 ? nodes[what.holder] : map.clusters[what.cluster - 1];
    const r = Math.max(at.r * 1.6, what.holder >= 0 ? 60 : 30);
    lookAt({ x: at.x - r, y: at.y - r, width: 2 * r, height: 2 * r });
  }
}

function detail(quiet) {
  const box = $("details");
  box.hidden = !chosen;
  if (!chosen) { if (!quiet) say("Nothing selected"); return; }
  const close = make("button", { type: "button", class: "close", "aria-label": "Let go of the selection", onclick: () => { choose(null); canvas.focus({ preventScroll: true }); } }, "×");
  const facts = (pairs) => make("dl", {}, ...pairs.filter(Boolean).flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
  if (chosen.cluster) {
    const cluster = map.clusters[chosen.cluster - 1];
    box.style.setProperty("--k", colourOf(cluster.rank));
    box.replaceChildren(
      make("header", {}, make("h2", {}, `Cluster ${cluster.rank}`), close),
      facts([
        ["Share", percent(cluster.share)],
        ["Amount", amountOf(cluster)],
        ["Holders", whole.format(cluster.members.length)],
        ["Links among them", whole.format(cluster.links)],
        ["Hubs they deal with", whole.format(cluster.hubsTouched)],
      ]),
      make("h3", {}, "Members"),
      peers(cluster.members.map((member) => [member, percent(nodes[member].share)]), 12),
    );
    if (!quiet) say(`Cluster ${cluster.rank}: ${many(cluster.members.length, "holder")} with ${percent(cluster.share)}.`);
    return;
  }
  const node = nodes[chosen.holder];
  box.style.setProperty("--k", tone(node.key));
  const copy = make("button", { type: "button", class: "text", onclick: async () => {
    const done = await copied(node.address);
    copy.textContent = done ? "Copied" : "Copy failed";
    say(done ? "Address copied" : "The address could not be copied");
    setTimeout(() => { copy.textContent = "Copy"; }, 1600);
  } }, "Copy");
  copy.setAttribute("aria-label", `Copy address ${node.address}`);
  const dealings = near[node.index].map((pair) => {
    const other = pair.a === node.index ? pair.b : pair.a;
    const out = pair.a === node.index ? pair.there : pair.back, back = pair.a === node.index ? pair.back : pair.there;
    return { other, text: [out ? `→ ${sum(out)}` : null, back ? `← ${sum(back)}` : null].filter(Boolean).join("  ") || "0", size: out + back };
  }).sort((a, b) => b.size - a.size);
  box.replaceChildren(
    make("header", {}, make("h2", {}, node.label ?? `Holder ${node.rank}`), close),
    make("p", {}, make("span", { class: "mono", title: node.address }, short(node.address)), " ", copy),
    facts([
      ["Share", percent(node.share)],
      ["Amount", amountOf(node)],
      ["Rank", `${whole.format(node.rank)} of ${whole.format(nodes.length)}`],
      ["Counterparties", whole.format(node.degree)],
      node.kind === "wallet" ? null : ["Kind", node.kind],
      ["Cluster", node.cluster ? make("button", { type: "button", class: "text", onclick: () => choose({ cluster: node.cluster }) }, `Cluster ${node.cluster}`) : "none"],
    ]),
    node.excluded ? make("p", { class: "why" }, `Joins nobody. ${WHY[node.excluded] ?? node.excluded}`) : null,
    dealings.length ? make("h3", {}, `Deals with ${many(dealings.length, "holder")} here`) : null,
    dealings.length ? peers(dealings.map(({ other, text }) => [other, text]), 8) : null,
  );
  if (!quiet) {
    const where = node.cluster ? `in cluster ${node.cluster}` : node.excluded ? `a hub: ${node.excluded}` : "on its own";
    say(`${node.label ?? short(node.address)}, rank ${node.rank}, ${percent(node.share)}, ${where}.`);
  }
}

// `replaceChildren` would show what is missing as words.
const replace = Element.prototype.replaceChildren;
$("details").replaceChildren = function (...children) { replace.apply(this, children.filter((child) => child !== null)); };

function peers(list, most) {
  const items = list.slice(0, most).map(([other, text]) => {
    const node = nodes[other];
    return make("li", {}, make("button", { type: "button", class: "peer", onclick: () => choose({ holder: other }), onpointerenter: () => hover(other, -999, -999), onpointerleave: () => hover(-1) },
      swatch(node.key), make("span", { class: "grow" }, node.label ?? short(node.address)), make("span", { class: "sum" }, text)));
  });
  if (list.length > most) items.push(make("li", { class: "why" }, `and ${whole.format(list.length - most)} more`));
  return make("ul", {}, ...items);
}

async function copied(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* no permission: the old way */ }
  const area = make("textarea", { class: "unseen" });
  area.value = text;
  document.body.append(area);
  area.select();
  let done = false;
  try { done = document.execCommand("copy"); } catch { /* then not */ }
  area.remove();
  return done;
}

const swatch = (key) => make("span", { class: `swatch${key === "hub" ? " hub" : ""}`, "--k": tone(key), "aria-hidden": "true" });

// ---------------------------------------------------------------- lists
const PAGE = 150;
let found = [], listed = 0, query = "";

function row(of, number, name, key, cells, share, most, what) {
  const meter = make("span", { class: "meter", "--k": tone(key), "--part": `${Math.max(2, (100 * share) / (most || 1)).toFixed(1)}%`, "aria-hidden": "true" });
  const pick = make("button", { type: "button", class: "pick", tabindex: "-1", "aria-pressed": "false" }, swatch(key), name);
  const line = make("tr", { "data-of": of }, make("td", {}, number), make("td", {}, pick), ...cells, make("td", { class: "number" }, percent(share), meter));
  line.addEventListener("click", () => choose(what, { still: false }));
  line.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && what.holder >= 0 && what.holder < shown) hover(what.holder, -999, -999); });
  line.addEventListener("pointerleave", () => hover(-1));
  return line;
}

function fill() {
  const most = map.clusters[0]?.share ?? 1;
  $("clusters").replaceChildren(...map.clusters.slice(0, 400).map((cluster) => {
    const first = nodes[cluster.members[0]];
    const name = make("span", { class: "grow" }, first.label ?? short(first.address));
    return row(`c${cluster.rank}`, cluster.rank, name, cluster.rank, [make("td", { class: "number" }, whole.format(cluster.members.length))], cluster.share, most, { cluster: cluster.rank });
  }));
  $("no-clusters").hidden = map.clusters.length > 0;
  $("count-clusters").textContent = whole.format(map.clusters.length);
  seek(query);
  rove($("clusters"));
}

function seek(text) {
  query = text.trim().toLowerCase();
  const rank = /^#?\d{1,5}$/.test(query) ? Number(query.replace("#", "")) : null;
  found = !query ? nodes : nodes.filter((node) => node.rank === rank || node.address.includes(query) || node.label?.toLowerCase().includes(query));
  if (rank) found = [...found].sort((a, b) => (b.rank === rank) - (a.rank === rank) || a.rank - b.rank);
  listed = 0;
  $("holders").replaceChildren();
  grow();
  $("count-holders").textContent = query ? `${whole.format(found.length)} of ${whole.format(nodes.length)}` : whole.format(nodes.length);
  $("no-holders").hidden = found.length > 0;
  $("no-holders").textContent = query ? "No holder of this map has that address, name or rank." : "Nobody holds this token.";
}

function grow() {
  const most = nodes[0]?.share ?? 1;
  const next = found.slice(listed, listed + PAGE);
  $("holders").append(...next.map((node) => {
    const tag = node.excluded ? make("span", { class: "tag" }, node.excluded === "degree" ? "hub" : node.excluded) : node.cluster ? make("span", { class: "tag" }, `cluster ${node.cluster}`) : null;
    const name = make("span", { class: node.label ? "grow" : "grow mono", title: node.address }, node.label ?? short(node.address));
    const line = row(`h${node.index}`, node.rank, name, node.key, [], node.share, most, { holder: node.index });
    if (tag) line.querySelector(".pick").append(tag);
    return line;
  }));
  listed += next.length;
  $("more").hidden = listed >= found.length;
  rove($("holders"));
  if (chosen?.holder >= 0) document.querySelector(`tr[data-of="h${chosen.holder}"]`)?.classList.add("chosen");
}

/** One row of a list is on the way of Tab; arrows go on from there. */
function rove(body) {
  if (!body.querySelector(".pick[tabindex='0']")) body.querySelector(".pick")?.setAttribute("tabindex", "0");
}
for (const body of [$("clusters"), $("holders")]) {
  body.addEventListener("keydown", (event) => {
    const picks = [...body.querySelectorAll(".pick")];
    const at = picks.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: picks.length - 1, PageDown: at + 12, PageUp: at - 12 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    if (to >= picks.length - 1 && body.id === "holders" && listed < found.length) grow();
    const all = [...body.querySelectorAll(".pick")];
    all[Math.max(0, Math.min(all.length - 1, to))].focus();
  });
  body.addEventListener("focusin", (event) => {
    if (!event.target.matches(".pick")) return;
    body.querySelector(".pick[tabindex='0']")?.setAttribute("tabindex", "-1");
    event.target.setAttribute("tabindex", "0");
  });
}
$("more").addEventListener("click", () => { const at = listed; grow(); $("holders").children[at]?.querySelector(".pick").focus(); });

function tab(name) {
  for (const each of ["clusters", "holders"]) {
    const on = each === name;
    $(`tab-${each}`).setAttribute("aria-selected", on);
    $(`tab-${each}`).tabIndex = on ? 0 : -1;
    $(`list-${each}`).hidden = !on;
  }
}
for (const name of ["clusters", "holders"]) {
  $(`tab-${name}`).addEventListener("click", () => tab(name));
  $(`tab-${name}`).addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = name === "clusters" ? "holders" : "clusters";
    tab(other);
    $(`tab-${other}`).focus();
  });
}

let waiting = 0;
$("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if ($("search").value.trim()) tab("holders");
    seek($("search").value);
    if (query) say(`${many(found.length, "holder")} found`);
  }, 90);
});
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    clearTimeout(waiting);
    seek($("search").value);
    tab("holders");
    if (found.length && query) choose({ holder: found[0].index }); else if (query) say("No holder found");
  } else if (event.key === "ArrowDown") { event.preventDefault(); tab("holders"); $("holders").querySelector(".pick")?.focus(); }
});

// ---------------------------------------------------------------- what is said of the whole
function describe() {
  const { token, metrics, asOf } = map;
  const name = token.name?.trim() || token.symbol?.trim() || short(token.address);
  $("name").textContent = name;
  document.title = `${name} · holders`;
  $("mark").textContent = (token.symbol?.trim() || name).slice(0, 4);
  const parts = [short(token.address), token.chain === "file" ? null : token.chain, asOf.block === null ? null : `block ${whole.format(asOf.block)}`, asOf.timestamp ? day(asOf.timestamp) : null];
  $("about").textContent = parts.filter(Boolean).join(" · ");
  canvas.setAttribute("aria-label", `Map of ${many(nodes.length, "holder")} in ${many(map.clusters.length, "cluster")}`);
  const adjusted = metrics.byEntityAdjusted;
  const together = map.clusters.reduce((total, cluster) => total + cluster.share, 0);
  const tile = (value, text, title) => make("div", { class: "figure", title }, make("b", {}, value), make("span", {}, text));
  $("figures").replaceChildren(
    gauge(metrics.score),
    tile(percent(adjusted.top10Share), "held by the top 10", "Of what is not with hubs; each cluster counts as one"),
    tile(adjusted.effectiveHolders >= 1000 ? brief.format(adjusted.effectiveHolders) : adjusted.effectiveHolders.toFixed(1), "effective holders", "So many equal holders would be as concentrated"),
    tile(percent(together), "with clusters", "Of all that is held"),
    tile(whole.format(adjusted.nakamoto), adjusted.nakamoto === 1 ? "has half of it" : "have half of it", "The fewest who have half or more together"),
  );
  $("panel").hidden = $("tray").hidden = $("zoom").hidden = false;
  const top = $("top");
  top.max = Math.max(1, Math.min(10000, nodes.length));
  $("top-control").hidden = nodes.length < 2;
  showTop(shown);
  fill();
}

const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

function gauge(score) {
  const space = "http://www.w3.org/2000/svg", length = TURN * 31;
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 76 76");
  svg.setAttribute("aria-hidden", "true");
  for (const kind of ["track", "arc"]) {
    const circle = document.createElementNS(space, "circle");
    for (const [name, value] of Object.entries({ cx: 38, cy: 38, r: 31, class: kind })) circle.setAttribute(name, value);
    if (kind === "arc") {
      circle.setAttribute("stroke-dasharray", length);
      circle.setAttribute("stroke-dashoffset", length * (1 - (score ?? 0) / 100));
    }
    svg.append(circle);
  }
  const mood = score === null ? "--quiet" : score >= 60 ? "--good" : score >= 30 ? "--fair" : "--poor";
  const text = score === null ? "–" : String(Math.round(score));
  return make("div", { class: "score", "--mood": `var(${mood})`, title: "0: one party has everything; 100: widely spread" }, svg, make("p", {}, make("b", {}, text), "score"));
}

function slide(input) {
  const part = (input.value - input.min) / Math.max(1, input.max - input.min);
  input.style.setProperty("--at", `calc(${(part * 100).toFixed(2)}% + ${(8 - part * 16).toFixed(2)}px)`);
}

function showTop(count) {
  shown = Math.max(nodes.length ? 1 : 0, Math.min(nodes.length, count));
  const top = $("top");
  top.value = shown;
  $("top-value").textContent = shown === nodes.length ? `all ${whole.format(shown)}` : whole.format(shown);
  slide(top);
  if (hovered >= shown) hover(-1);
  repaint();
  overview = null;
  begin();
}
$("top").addEventListener("input", () => showTop(Number($("top").value)));

$("theme").addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  store("localStorage", "holdfast.theme", next);
  recolour();
});
const kept = stored("localStorage", "holdfast.theme");
if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
function recolour() {
  readColours();
  if (map) { fill(); choose(chosen, { quiet: true, still: true }); }
  begin();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

new ResizeObserver(() => {
  const hasChanged = resize();
  if (map && hasChanged) look(opening(), true);
  changed = true;
  draw();
  begin();
}).observe(canvas);

// ---------------------------------------------------------------- asking
// The page is at …/v1/tokens/{chain}/{address}/map; a file has nobody to ask.
const here = location.protocol.startsWith("http") && location.pathname.match(/^(.*\/v1)\/tokens\/[^/]+\/[^/]+\/map$/);
const base = here ? location.pathname : null;
const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
let asked = Object.fromEntries(here ? new URLSearchParams(location.search) : []);
let turn = 0;              // which request is the last one

async function ask(path) {
  const token = stored("sessionStorage", "holdfast.token");
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(path, { headers, cache: "no-store" });
  let body = null;
  try { body = await answer.json(); } catch { /* an answer of somebody in between */ }
  return { status: answer.status, headers: answer.headers, body };
}

const retry = (answer, usual) => Math.min(30, Math.max(0.4, Number(answer.headers.get("retry-after")) || usual));

/** Gets a map, however long it takes, and shows it. */
async function load(parameters, job = null) {
  if (!base) return;
  const mine = ++turn;
  asked = parameters;
  const search = new URLSearchParams(parameters).toString();
  try {
    for (;;) {
      if (job) {
        if (!(await follow(job, mine))) return;
      }
      if (!map) veil("Opening the map", "");
      const answer = await ask(`${base}.json${search ? `?${search}` : ""}`);
      if (mine !== turn) return;
      if (answer.status === 200) {
        unveil();
        take(answer.body);
        remember(search);
        say(`${$("name").textContent}: ${many(nodes.length, "holder")}, ${many(map.clusters.length, "cluster")}`);
        const renewing = answer.headers.get("x-refresh-job");
        if (renewing) renew(renewing, parameters, mine);
        offer();
        return;
      }
      if (answer.status === 202) { job = answer.body?.job?.job; if (!job) await wait(retry(answer, 2)); continue; }
      if (answer.status === 403) return signIn(parameters, answer.body);
      if (answer.status === 429 || answer.status === 503) { progress(null, "It is busy; trying again in a moment."); await wait(retry(answer, 3)); if (mine !== turn) return; continue; }
      return trouble(answer.body?.detail ?? `The answer was ${answer.status}.`, parameters);
    }
  } catch {
    if (mine === turn) trouble("The server cannot be reached.", parameters);
  }
}

/** True when the job is done and its report can be asked for. */
async function follow(job, mine) {
  progress(0, "Waiting for a worker");
  for (;;) {
    const answer = await ask(`${here[1]}/jobs/${encodeURIComponent(job)}`);
    if (mine !== turn) return false;
    if (answer.status === 403) { signIn(asked, answer.body); return false; }
    if (answer.status === 404) return true;
    const state = answer.body?.state;
    if (state === "done") { progress(1, "Drawing"); return true; }
    if (state === "failed") { trouble(answer.body.error?.detail ?? "The report could not be made.", asked); return false; }
    if (answer.status === 200) progress(answer.body.progress ?? 0, answer.body.stage ?? (state === "running" ? "Working" : "Waiting for a worker"));
    await wait(state === "running" ? 0.7 : retry(answer, 1.5) / 1.5);
    if (mine !== turn) return false;
  }
}

/** A newer report takes the old one's place when it is there. */
async function renew(job, parameters, mine) {
  for (let round = 0; round < 200; round++) {
    await wait(3);
    if (mine !== turn) return;
    try {
      const { status, body } = await ask(`${here[1]}/jobs/${encodeURIComponent(job)}`);
      if (status === 200 && body.state === "done") { if (mine === turn) load(parameters); return; }
      if (status !== 200 || body.state === "failed") return;
    } catch { return; }
  }
}

function remember(search) {
  try { history.replaceState(null, "", location.pathname + (search ? `?${search}` : "") + location.hash); } catch { /* stays */ }
}

function progress(part, text) {
  if (map) {
    $("bar").hidden = false;
    $("bar").setAttribute("aria-valuenow", Math.round((part ?? 0) * 100));
    $("bar").firstElementChild.style.width = `${Math.max(6, (part ?? 0) * 100)}%`;
    return;
  }
  veil("Making the map", part > 0 && part < 1 ? `${text} · ${Math.round(part * 100)} %` : text);
  const bar = $("progress");
  bar.hidden = part === null;
  bar.setAttribute("aria-valuenow", Math.round((part ?? 0) * 100));
  bar.firstElementChild.style.width = `${Math.max(4, (part ?? 0) * 100)}%`;
}

function veil(title, text, mood = "busy") {
  $("veil").hidden = false;
  $("veil").dataset.mood = mood;
  if ($("veil-title").textContent !== title) { $("veil-title").textContent = title; say(`${title}. ${text}`); }
  $("veil-text").textContent = text;
  $("sign-in").hidden = $("again").hidden = $("progress").hidden = true;
  app.dataset.state = mood;
}

function unveil() {
  $("veil").hidden = $("bar").hidden = true;
  app.dataset.state = "map";
}

function signIn(parameters, problem) {
  $("bar").hidden = true;
  const had = stored("sessionStorage", "holdfast.token");
  veil("Who is asking?", had ? problem?.detail ?? "The token is not taken any more." : "The map is for those who are signed in. Your token stays in this tab.", "calm");
  $("sign-in").hidden = false;
  $("sign-in").onsubmit = (event) => {
    event.preventDefault();
    store("sessionStorage", "holdfast.token", $("token").value.trim().replace(/^Bearer\s+/i, ""));
    $("token").value = "";
    load(parameters);
  };
  $("token").focus();
}

function trouble(text, parameters) {
  veil("That did not work", text, "calm");
  $("bar").hidden = true;
  $("again").hidden = false;
  $("again").onclick = () => load(parameters);
}

// ---------------------------------------------------------------- other maps
const DEGREES = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
let moments = null, playing = 0;

function offer() {
  const hub = $("hub");
  hub.max = DEGREES.length - 1;
  const { hubDegree } = map.parameters;
  const index = DEGREES.findLastIndex((degree) => degree <= hubDegree);
  hub.value = Math.max(0, index);
  $("hub-value").textContent = whole.format(hubDegree);
  $("hub-control").hidden = false;
  slide(hub);
  if (moments === null) times();
}
$("hub").addEventListener("input", () => { $("hub-value").textContent = whole.format(DEGREES[$("hub").value]); slide($("hub")); });
$("hub").addEventListener("change", () => load({ ...asked, hubDegree: DEGREES[$("hub").value] }));

/** The points of time that can be looked at, where the server keeps them. */
async function times() {
  moments = [];
  let answer = null;
  try {
    for (let round = 0; round < 40; round++) {
      answer = await ask(`${base.replace(/\/map$/, "/history")}?points=30`);
      if (answer.status !== 202) break;
      await wait(retry(answer, 3));
    }
  } catch { return; }
  const items = answer?.status === 200 ? answer.body?.items ?? answer.body?.points ?? answer.body : null;
  if (!Array.isArray(items)) return;
  moments = items.filter((item) => Number.isInteger(item?.block));
  if (moments.length < 2) return;
  const time = $("time");
  time.max = moments.length - 1;
  const at = asked.block ? moments.findLastIndex((moment) => moment.block <= Number(asked.block)) : moments.length - 1;
  time.value = Math.max(0, at);
  $("time-control").hidden = false;
  tellTime();
}

function tellTime() {
  const moment = moments[$("time").value];
  const text = moment.timestamp ? day(moment.timestamp) : `block ${whole.format(moment.block)}`;
  $("time-value").textContent = text;
  $("time").setAttribute("aria-valuetext", text);
  slide($("time"));
}

function travel() {
  const at = Number($("time").value);
  const { block: _, ...others } = asked;
  return load(at === moments.length - 1 ? others : { ...others, block: moments[at].block });
}
$("time").addEventListener("input", () => { tellTime(); });
$("time").addEventListener("change", () => { stop(); travel(); });
function stop() { playing++; $("play").setAttribute("aria-pressed", "false"); }
$("play").addEventListener("click", async () => {
  if ($("play").getAttribute("aria-pressed") === "true") return stop();
  const mine = ++playing;
  $("play").setAttribute("aria-pressed", "true");
  const time = $("time");
  if (Number(time.value) >= moments.length - 1) time.value = -1;
  while (mine === playing && Number(time.value) < moments.length - 1) {
    time.value = Number(time.value) + 1;
    tellTime();
    await travel();
    await wait(1.1);
  }
  if (mine === playing) stop();
});

// ---------------------------------------------------------------- the beginning
readColours();
resize();
if (here) {
  const [, chain, address] = location.pathname.match(/\/tokens\/([^/]+)\/([^/]+)\/map$/).map(decodeURIComponent);
  $("about").textContent = `${short(address)} · ${chain}`;
}
const given = JSON.parse($("data").textContent);
const state = app.dataset.state;
if (state === "map" && given) {
  unveil();
  take(given);
  if (base) offer();
} else if (base) load(asked, state === "queued" ? given?.job : null);
else veil("No map here", "This page belongs at a token's address: /v1/tokens/{chain}/{address}/map.", "calm");

function fromHash() {
  if (!map) return;
  const text = decodeURIComponent(location.hash.slice(1)).toLowerCase();
  const cluster = text.match(/^cluster-(\d+)$/);
  if (cluster && map.clusters[cluster[1] - 1]) choose({ cluster: Number(cluster[1]) });
  const holder = nodes.findIndex((node) => node.address === text);
  if (holder >= 0) choose({ holder });
}
fromHash();
addEventListener("hashchange", fromHash);

// What a test or a curious reader may look at; nothing here changes anything.
window.holdfast = Object.freeze({
  get frames() { return frames.count; },
  get drawn() { return frames.drawn; },
  get shown() { return shown; },
  where: (index) => ({ x: nodes[index].nowX * eye.scale + eye.x, y: nodes[index].nowY * eye.scale + eye.y, r: nodes[index].nowR * eye.scale }),
  get eye() { return { ...eye }; },
  get still() { return isStill; },
});
