// One page at a time; the server knows where a rater is, so a reload goes on from there.

const byId = (id) => document.getElementById(id);
const pages = [...document.querySelectorAll("main > section")];
const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const keyed = !window.matchMedia("(hover: none) and (pointer: coarse)").matches; // no phone, so probably with keys
const LETTERS = { left: "A", right: "B" };
const isClip = (name) => /\.(mp4|webm)$/.test(name);
let study, current, resume; // the study; the trial on show; what "try again" does

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, { ...options, cache: "no-store", credentials: "omit" });
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.error || answer.statusText), { status: answer.status });
  return content;
}

function show(id) {
  for (const page of pages) page.hidden = page.id !== id;
  window.scrollTo(0, 0);
  byId(id).querySelector("h1")?.focus({ preventScroll: true });
}

// Runs something that may fail, and offers to try it again.
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    resume = () => attempt(action);
    byId("fault-text").textContent = `The study's server did not answer as expected (${error.message}). Your answers so far are stored.`;
    show("fault");
  }
}

const memory = {}; // where the browser stores nothing, this holds until the page is closed
function recall() {
  try { return localStorage.getItem(`facegraft-study-${study.id}`); } catch { return memory.key; }
}
function remember(key) {
  memory.key = key;
  try {
    if (key) localStorage.setItem(`facegraft-study-${study.id}`, key);
    else localStorage.removeItem(`facegraft-study-${study.id}`);
  } catch { /* memory has it */ }
}

async function begin() {
  study = await call("api/study");
  document.title = study.title;
  const texts = { title: study.title, purpose: study.purpose, contact: study.contact, trials: study.trials, minutes: study.minutes === 1 ? "1 minute" : `${study.minutes} minutes` };
  for (const spot of document.querySelectorAll("[data-fill]")) spot.textContent = texts[spot.dataset.fill];
  byId("contact").hidden = !study.contact;
  if (!recall()) return show("consent");
  try {
    const next = await call("api/next", { key: recall() });
    if (next.finished) return thank(next.rater);
    if (next.done > 0) return await showTrial(next);
    explain();
  } catch (error) {
    if (error.status !== 404) throw error;
    remember(null);
    show("consent");
  }
}

async function join(event) {
  event.preventDefault();
  if (!byId("adult").checked || !byId("agreed").checked) {
    byId("consent-message").textContent = byId("adult").checked ? "Please tick the second box if you want to take part." : "This study is for people of 18 years and more; please tick both boxes to take part.";
    return;
  }
  await attempt(async () => {
    const { key } = await call("api/join", { consent: true, adult: true, width: window.innerWidth, height: window.innerHeight });
    remember(key);
    explain();
  });
}

function explain() {
  const paired = study.choices.includes("left");
  const things = study.design === "video" ? "clips" : "pictures";
  const asked = study.questions.length > 1 ? "These are the questions, one after the other:" : "The question is:";
  byId("task").textContent = paired ? `You see two ${things}, A and B, and choose one. ${asked}` : `You see one picture at a time. ${asked}`;
  fillList("questions", study.questions.map((text) => [text]));
  const hints = [];
  const [how, ...keys] = paired ? [`${keyed ? "Click" : "Tap"} the one you choose, then Next.`, "←", " for A, ", "→", " for B, and ", "Enter", "."]
    : study.design === "mos" ? ["Choose a grade from 1 to 5, then Next.", "1", " to ", "5", " and ", "Enter", "."]
      : ["Choose Real or Fake, then Next.", "←", " for Real, ", "→", " for Fake, and ", "Enter", "."];
  hints.push(keyed ? [`${how} Or use the keys `, ...keys] : [how]);
  if (study.choices.includes("same")) hints.push(keyed ? ["If you see no difference, say so: key ", "0", "."] : ["If you see no difference, say so."]);
  if (study.design === "video") hints.push(["Clips run in a loop. You can answer after the first full loop."]);
  else hints.push([`You can answer after ${study.min_view_ms / 1000} seconds. Take longer if you need to, but your first impression is welcome.`]);
  if (study.hide_after_ms) hints.push([`The picture goes away after ${study.hide_after_ms / 1000} seconds.`]);
  hints.push(["Sit where light does not fall on the screen, and keep the same distance."]);
  fillList("hints", hints);
  byId("small-screen").hidden = Math.min(window.innerWidth, window.innerHeight) >= 320;
  show("instructions");
}

// Every second part of a line is a key.
function fillList(id, lines) {
  byId(id).replaceChildren(...lines.map((parts) => {
    const item = document.createElement("li");
    item.append(...parts.map((text, at) => {
      if (at % 2 === 0) return text;
      const key = document.createElement("kbd");
      key.textContent = text;
      return key;
    }));
    return item;
  }));
}

async function practise(at = 0) {
  if (at === study.training.length) return show("ready");
  const trial = { ...study.training[at], training: true, at, done: at, total: study.training.length };
  await present(trial);
}

async function proceed() {
  const next = await call("api/next", { key: recall() });
  if (next.finished) return thank(next.rater);
  await showTrial(next);
}

async function showTrial(next) {
  if (next.new_block && study.questions.length > 1) {
    byId("block-question").textContent = next.question;
    current = next;
    return show("block");
  }
  await present(next);
}

async function present(trial) {
  current = { ...trial, choice: null, open: false, told: false, clips: [], serial: (current?.serial ?? 0) + 1 };
  const mine = current;
  byId("question").textContent = trial.instruction ? instructionText(trial.instruction) : trial.question;
  byId("count").textContent = trial.training ? `Practice ${trial.done + 1} of ${trial.total}` : `${trial.done + 1} of ${trial.total}`;
  byId("progress").max = trial.total;
  byId("progress").value = trial.done;
  byId("stop").hidden = Boolean(trial.training);
  byId("trial").classList.toggle("practice", Boolean(trial.training));
  say("Loading …");
  const loaded = buildStage(trial);
  buildGrades(trial);
  update();
  show("trial");
  await Promise.all(loaded);
  if (mine !== current) return;
  fit();
  byId("stage").style.visibility = "visible";
  if (study.design === "video") return startClips(mine);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  startClock(mine);
  setTimeout(() => open(mine), study.min_view_ms);
  if (study.hide_after_ms) setTimeout(() => mine === current && byId("stage").classList.add("gone"), study.hide_after_ms);
}

function startClock(mine) {
  mine.since = performance.now();
  say("Please look first.");
  for (const name of mine.preload ?? []) fetch(`media/${name}`).then((answer) => answer.blob()).catch(() => {});
}

function open(mine) {
  if (mine !== current || mine.open) return;
  mine.open = true;
  say("You can answer now.");
  update();
}

function instructionText(expected) {
  const named = { left: "A", right: "B", real: "Real", fake: "Fake" }[expected] ?? expected;
  return `Attention check: please choose ${named}, whatever you see.`;
}

// Returns promises that end when all can be seen.
function buildStage(trial) {
  const waits = [];
  const figures = trial.references.map(({ kind, media }) => {
    const text = kind === "identity" ? "Reference: the person" : "Reference";
    return figure(document.createElement("div"), media, text, "reference", waits, trial.references.length > 0 && study.design === "video");
  });
  const paired = study.choices.includes("left");
  for (const [at, name] of trial.media.entries()) {
    const side = ["left", "right"][at];
    const holder = document.createElement(paired ? "button" : "div");
    if (paired) {
      holder.type = "button";
      holder.dataset.choice = side;
      holder.addEventListener("click", () => choose(side));
    }
    figures.push(figure(holder, name, paired ? LETTERS[side] : "", paired ? "option" : "option alone", waits, true));
  }
  const stage = byId("stage");
  stage.className = "";
  stage.style.visibility = "hidden";
  stage.replaceChildren(...figures);
  byId("same").hidden = !study.choices.includes("same");
  byId("play").hidden = true;
  return waits;
}

function figure(holder, name, text, kind, waits, runs) {
  const box = document.createElement("figure");
  box.className = kind;
  holder.classList.add("frame");
  const medium = document.createElement(isClip(name) ? "video" : "img");
  const label = kind === "reference" ? text : text ? `${isClip(name) ? "Clip" : "Picture"} ${text}` : "Picture";
  if (isClip(name)) {
    Object.assign(medium, { muted: true, playsInline: true, preload: "auto" });
    medium.setAttribute("aria-label", label);
    waits.push(new Promise((done, fail) => {
      medium.addEventListener("canplaythrough", done, { once: true });
      medium.addEventListener("error", () => fail(new Error("a clip cannot be shown")), { once: true });
      setTimeout(done, 15000); // some phones load nothing before it plays
    }));
    if (runs) current.clips.push(medium);
    medium.src = `media/${name}`;
  } else {
    medium.alt = label;
    medium.draggable = false;
    medium.src = `media/${name}`;
    waits.push(medium.decode());
  }
  holder.append(medium);
  box.append(holder);
  if (text) {
    const caption = document.createElement("figcaption");
    caption.textContent = text;
    box.append(caption);
  }
  return box;
}

// Sizes of all that is shown, as large as the stage allows: options of one height, the reference smaller.
function fit() {
  const stage = byId("stage");
  const column = window.innerWidth < 600;
  const media = [...stage.querySelectorAll("img, video")].map((medium) => ({
    medium,
    aspect: (medium.naturalWidth || medium.videoWidth || 1) / (medium.naturalHeight || medium.videoHeight || 1),
    share: medium.closest(".reference") ? 0.65 : 1,
    caption: medium.closest(".reference") ? 85 : medium.closest(".alone") ? 0 : 28,
  }));
  const { clientWidth, clientHeight } = stage;
  const edge = 24; // border and padding of a frame, and the gap behind it
  const sum = (of) => media.reduce((total, one) => total + of(one), 0);
  const least = (of) => Math.min(...media.map(of));
  const height = column
    ? Math.min((clientHeight - media.length * edge) / sum((one) => one.share), least((one) => (clientWidth - edge - one.caption) / one.aspect / one.share))
    : Math.min(least((one) => (clientHeight - edge - 32) / one.share), (clientWidth - media.length * (edge + 20)) / sum((one) => one.share * one.aspect));
  for (const { medium, aspect, share } of media) {
    medium.style.height = `${Math.max(40, Math.floor(height * share))}px`;
    medium.style.width = `${Math.max(40, Math.floor(height * share * aspect))}px`;
  }
}

function buildGrades(trial) {
  const box = byId("grades");
  box.hidden = study.choices.includes("left");
  if (box.hidden) return;
  const names = { real: "Real", fake: "Fake" };
  const row = document.createElement("div");
  row.className = "row";
  row.append(...study.choices.map((choice) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: names[choice] ?? choice });
    button.dataset.choice = choice;
    button.addEventListener("click", () => choose(choice));
    return button;
  }));
  box.classList.toggle("two", study.choices.length === 2);
  const ends = document.createElement("div");
  ends.className = "ends";
  ends.append(...[["1", trial.grades[0]], ["5", trial.grades[1]]].map(([grade, text]) => {
    const end = document.createElement("span");
    end.textContent = text ? `${grade}: ${text}` : "";
    return end;
  }));
  box.replaceChildren(row, ...(trial.grades[0] ? [ends] : []));
}

// All clips start together; each loop waits for the slowest, and within a loop the first one sets the time.
function startClips(mine) {
  const clips = mine.clips;
  const restart = () => {
    if (mine !== current) return;
    for (const clip of clips) clip.currentTime = 0;
    for (const clip of clips) clip.play().catch(() => askToPlay(mine, restart));
  };
  for (const clip of clips) {
    clip.addEventListener("ended", () => {
      if (mine !== current || !clips.every((other) => other.ended)) return;
      mine.loops = (mine.loops ?? 0) + 1;
      open(mine);
      if (!still) restart(); else askToPlay(mine, restart);
    });
  }
  const keepTime = () => {
    if (mine !== current) return;
    const lead = clips[0];
    for (const clip of clips.slice(1)) {
      if (!lead.ended && !clip.ended && !clip.seeking && Math.abs(clip.currentTime - lead.currentTime) > 0.06) clip.currentTime = lead.currentTime;
    }
    requestAnimationFrame(keepTime);
  };
  const run = () => { startClock(mine); say("Please watch one full loop."); restart(); requestAnimationFrame(keepTime); };
  if (still) askToPlay(mine, run); else run();
}

function askToPlay(mine, run) {
  if (mine !== current) return;
  byId("play").hidden = false;
  byId("play").onclick = () => { byId("play").hidden = true; run(); };
}

function choose(choice) {
  if (!current?.open || current.told || byId("trial").hidden) return;
  current.choice = choice;
  say("");
  update();
}

function update() {
  for (const button of document.querySelectorAll("#trial [data-choice]")) {
    button.setAttribute("aria-pressed", String(current.choice === button.dataset.choice));
    button.setAttribute("aria-disabled", String(!current.open || current.told));
  }
  byId("next").setAttribute("aria-disabled", String(!current.choice));
}

function say(text, kind = "") {
  byId("message").textContent = text;
  byId("message").className = `message ${kind}`;
}

async function confirm() {
  if (!current?.choice || current.busy) return;
  const mine = current;
  if (mine.training && !mine.told) return tell(mine);
  mine.busy = true;
  await attempt(async () => {
    mine.ms ??= Math.round(performance.now() - mine.since);
    if (mine.training) return practise(mine.at + 1);
    await call("api/vote", { key: recall(), trial: mine.trial, choice: mine.choice, ms: mine.ms });
    await proceed();
  });
}

function tell(mine) {
  mine.told = true;
  update();
  const right = mine.expected.includes(mine.choice);
  const named = mine.expected.map((choice) => ({ left: "A", right: "B", real: "real", fake: "fake" })[choice] ?? choice).join(" or ");
  const because = study.choices.includes("left") ? "the other one was spoilt on purpose" : mine.expected.includes("fake") || mine.expected.includes("1") ? "it was spoilt on purpose" : "nothing was spoilt in it";
  say(right ? `Right: ${because}.` : `Look again: we expected ${named}, as ${because}.`, right ? "good" : "bad");
}

function thank(rater, text = "You have seen all trials. Your answers are stored; you can close this page.") {
  current = null;
  byId("thanks-text").textContent = text;
  byId("thanks-number").hidden = rater === null;
  byId("rater").textContent = rater ?? "";
  byId("another").hidden = false;
  show("thanks");
}

function onKey(event) {
  if (byId("trial").hidden || event.ctrlKey || event.metaKey || event.altKey || !current) return;
  const places = { ArrowLeft: 0, ArrowUp: 0, ArrowRight: 1, ArrowDown: 1 };
  const two = study.choices.filter((choice) => choice !== "same");
  let choice;
  if (event.key in places && study.design !== "mos") choice = two[places[event.key]];
  else if (event.key in places) choice = String(Math.min(5, Math.max(1, Number(current.choice ?? 3) + (places[event.key] ? 1 : -1))));
  else if (event.key === "0" && study.choices.includes("same")) choice = "same";
  else if (study.choices.includes(event.key)) choice = event.key;
  if (choice) {
    event.preventDefault();
    choose(choice);
    document.querySelector(`#trial [data-choice="${choice}"]`)?.focus({ preventScroll: true });
  } else if (event.key === "Enter" && current.choice && !event.repeat) {
    const { id, dataset } = event.target;
    if (["play", "stop"].includes(id) || (dataset?.choice && dataset.choice !== current.choice)) return; // its own click
    event.preventDefault();
    confirm();
  }
}

byId("agree").addEventListener("submit", join);
byId("practise").addEventListener("click", () => attempt(() => practise(0)));
byId("start").addEventListener("click", () => attempt(proceed));
byId("go-on").addEventListener("click", () => attempt(() => present(current)));
byId("next").addEventListener("click", confirm);
byId("same").addEventListener("click", () => choose("same"));
byId("stop").addEventListener("click", () => { current = null; show("leave"); });
byId("stay").addEventListener("click", () => attempt(proceed));
byId("keep").addEventListener("click", () => attempt(async () => {
  const { rater } = await call("api/next", { key: recall() });
  thank(rater, "Your answers so far are stored. Open this page again, in this browser, if you want to go on.");
  byId("another").hidden = true;
}));
byId("delete").addEventListener("click", () => attempt(async () => {
  await call("api/withdraw", { key: recall() });
  remember(null);
  thank(null, "Your answers are deleted. You can close this page.");
}));
byId("another").addEventListener("click", () => { remember(null); window.location.reload(); });
byId("retry").addEventListener("click", () => resume());
document.addEventListener("keydown", onKey);
new ResizeObserver(fit).observe(byId("stage"));
attempt(begin);
