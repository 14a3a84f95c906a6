// Keeps the page's sections as the node has them, and does what its buttons
// say. The node renders everything; without this script the page is right when
// it is loaded, and loads itself again.
"use strict";

const root = document.documentElement;
root.classList.add("js");
const element = (id) => document.getElementById(id);

// Absolute, so that a token in the page's own address is not in theirs.
const at = (path) => location.origin + path;

// Times are shown by the clock of whoever reads them.
function localTimes(within) {
  for (const t of within.querySelectorAll("time[datetime]")) {
    const when = new Date(t.dateTime);
    if (isNaN(when)) continue;
    t.textContent = when.toLocaleTimeString([], { hour12: false });
    t.title = when.toLocaleString();
  }
}

// put shows a section. Whoever was at a link or a button there stays at it.
function put(id, html) {
  const section = element(id);
  const before = section.contains(document.activeElement) ? [...section.querySelectorAll("a, button")].indexOf(document.activeElement) : -1;
  const scrolled = section.firstElementChild ? section.firstElementChild.scrollTop : 0;
  section.innerHTML = html;
  localTimes(section);
  if (section.firstElementChild) section.firstElementChild.scrollTop = scrolled;
  if (before >= 0) section.querySelectorAll("a, button")[before]?.focus({ preventScroll: true });
}

// The verdict is read out when it changes for better or worse, not when it
// counts another second.
let level = element("headline").querySelector("[data-level]")?.dataset.level;
function announce() {
  const now = element("headline").querySelector("[data-level]")?.dataset.level;
  if (now !== level) element("said").textContent = element("verdict").textContent;
  level = now;
}

// ---- Live: server-sent events, and a watchdog over them.

const silence = 8000; // ms without a word, after which the connection is made anew
let source = null;
let heard = performance.now();
let lostAt = null;

function connect() {
  source?.close();
  source = new EventSource(at("/events"));
  for (const id of ["headline", "nodes", "streams", "charts", "events"]) {
    source.addEventListener(id, (e) => {
      put(id, e.data);
      if (id === "headline") announce();
    });
  }
  source.addEventListener("letters", (e) => letters(e.data));
  source.addEventListener("title", (e) => { document.title = e.data; });
  source.addEventListener("tick", (e) => {
    heard = performance.now();
    element("live-text").textContent = "live, " + new Date(e.data).toLocaleTimeString([], { hour12: false });
    if (lostAt !== null) {
      lostAt = null;
      element("lost").hidden = true;
      element("lost").textContent = "";
    }
  });
  source.addEventListener("unknown", (e) => { heard = performance.now(); lost(e.data); });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) lost("the node refuses to tell; load the page again");
  };
}

function lost(why) {
  if (lostAt === null) lostAt = new Date();
  element("lost").textContent = "What is below is as of " + lostAt.toLocaleTimeString([], { hour12: false }) + ": " + why;
  element("lost").hidden = false;
  element("live-text").textContent = "not live";
}

setInterval(() => {
  const quiet = performance.now() - heard;
  if (quiet > 3500) lost("this node does not answer. The other nodes' pages are linked above.");
  if (quiet > silence) {
    heard = performance.now() - 3500; // the next try has as long
    connect();
  }
}, 1000);

// ---- Dead letters.

let lettersKnown = null;
let lettersAsked = 0;

async function letters(version) {
  if (version === lettersKnown) return;
  lettersKnown = version;
  const turn = ++lettersAsked;
  try {
    const answer = await fetch(at("/letters"));
    if (!answer.ok) throw new Error(answer.status);
    const html = await answer.text();
    if (turn === lettersAsked) put("letters", html);
  } catch {
    if (turn === lettersAsked) lettersKnown = null; // it is asked again with the next word of the node
  }
}

// ask puts a question in a dialog of its own: an answer can never be taken for
// that of another.
function ask(text, yes) {
  return new Promise((resolve) => {
    const dialog = element("question").content.cloneNode(true).querySelector("dialog");
    dialog.querySelector(".text").textContent = text;
    dialog.querySelector(".yes").textContent = yes;
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    }, { once: true });
    document.body.append(dialog);
    dialog.showModal();
  });
}

element("letters").addEventListener("click", async (e) => {
  const button = e.target.closest("button[data-act]");
  if (!button) return;
  const { act, stream, seq } = button.dataset;
  const question = act === "retry"
    ? `Store dead letter ${stream}/${seq} now? If what was wrong is not mended it is refused again, and stays.`
    : `Give dead letter ${stream}/${seq} up? It stays in landfall.dead_letters, marked as discarded, and will not be a row.`;
  if (!await ask(question, act === "retry" ? "Retry" : "Discard")) return;
  const say = (text, how) => { // the section may have been shown anew meanwhile
    const answer = element(`letter-${stream}-${seq}`)?.querySelector(".answer");
    if (answer) { answer.textContent = text; answer.className = "answer " + how; }
  };
  say("…", "");
  try {
    const answer = await fetch(at(`/v1/dead-letters/${encodeURIComponent(stream)}/${seq}/${act}`), { method: "POST" });
    const said = await answer.json();
    if (!answer.ok) {
      say(said.detail ?? answer.statusText, "bad");
      return;
    }
    say(said.resolution, "good");
    lettersKnown = null;
    letters("after " + act + " of " + seq);
  } catch (error) {
    say("no answer: " + error.message, "bad");
  }
});

// ---- Try it.

async function publish(subject, body, key, query) {
  const answer = await fetch(at("/v1/publish/" + encodeURIComponent(subject) + query), {
    method: "POST", body, headers: { "Content-Type": "text/plain;charset=UTF-8", "Idempotency-Key": key },
  });
  return { status: answer.status, said: await answer.json() };
}

const millis = (since) => (performance.now() - since).toFixed(1) + " ms";

element("try").addEventListener("submit", async (e) => {
  e.preventDefault();
  const row = document.createElement("li");
  element("receipts").prepend(row);
  while (element("receipts").children.length > 5) element("receipts").lastElementChild.remove();
  const step = (text, how) => {
    const span = document.createElement("span");
    span.textContent = (row.childNodes.length ? " → " : "") + text;
    span.className = how ?? "";
    row.append(span);
  };
  const key = "page-" + [...crypto.getRandomValues(new Uint8Array(9))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const subject = element("try-subject").value, body = element("try-body").value;
  const began = performance.now();
  step("sent");
  try {
    const first = await publish(subject, body, key, "");
    if (first.status !== 200) {
      step((first.said.detail ?? "refused") + ". " + (first.said.advice ?? ""), "bad");
      return;
    }
    step(`acknowledged as ${first.said.stream}/${first.said.seq} after ${millis(began)}`, "good");
    // The same message again: it is not taken twice, and answered when it is stored.
    for (;;) {
      const stored = await publish(subject, body, key, "?ack=stored&timeout=20s");
      if (stored.status === 200) {
        step(`stored after ${millis(began)}`, "good");
        return;
      }
      if (stored.status === 422) {
        step("a dead letter: " + (stored.said.reason ?? stored.said.detail), "bad");
        return;
      }
      if (stored.status !== 202 || performance.now() - began > 300000) {
        step(stored.said.detail ?? "not stored yet; it is kept, and will be", "bad");
        return;
      }
    }
  } catch (error) {
    step("no answer: " + error.message, "bad");
  }
});

localTimes(document);
connect();
