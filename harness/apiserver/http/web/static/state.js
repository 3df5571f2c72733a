// What the page knows of the cluster: objects by kind and uid, kept by one stream of watches; the last decisions.

export const kinds = ["nodes", "pods", "events", "hpas", "vpas", "nodepools", "nodeclaims", "configmaps", "faults"];

const RETRY_MS = 1000, LONGEST_RETRY_MS = 15000, DECISIONS_MS = 1000;

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("podyard-token") ?? "";
if (token) sessionStorage.setItem("podyard-token", token);
// The token does not stay in the address bar, nor in what is copied from it.
if (location.hash) history.replaceState(null, "", location.pathname);

export const state = { about: null, link: "connecting", decisions: [], decidedAt: 0, nowNs: 0 };
for (const kind of kinds) state[kind] = new Map();

let changed = () => {};
export function onChange(listener) { changed = listener; }

export function ask(path, options = {}) {
  return fetch(path, { ...options, headers: { authorization: `Bearer ${token}`, ...options.headers } });
}

export async function start() {
  watch();
  decisions();
}

async function about() {
  const answer = await ask("about");
  if (answer.status === 401) throw new Error((await answer.text()).trim());
  state.about = await answer.json();
}

// Lists come first in each watch, and a bookmark ends them: until then what was there before is shown.
async function watch() {
  for (let wait = RETRY_MS; ; wait = Math.min(2 * wait, LONGEST_RETRY_MS)) {
    try {
      await about();
      const answer = await ask("watch");
      if (!answer.ok) throw new Error(`the cluster answers ${answer.status}`);
      const fresh = Object.fromEntries(kinds.map((kind) => [kind, new Map()]));
      for await (const line of lines(answer.body)) {
        take(JSON.parse(line), fresh);
        wait = RETRY_MS / 2;
      }
      tell("the cluster ended the watch; connecting again");
    } catch (error) {
      tell(`no connection: ${error.message}`);
    }
    await new Promise((done) => setTimeout(done, wait));
  }
}

function tell(link) {
  state.link = link;
  changed();
}

function take({ kind, event, missing }, fresh) {
  if (missing) {
    state[kind] = new Map();
    return changed(kind);
  }
  const { type, object } = event;
  if (type === "BOOKMARK") {
    if (object.metadata.annotations?.["k8s.io/initial-events-end"] && fresh[kind]) {
      state[kind] = fresh[kind];
      fresh[kind] = null;
      state.link = "live";
      changed(kind);
    }
    return;
  }
  if (type === "ERROR") throw new Error(object.message);
  const held = fresh[kind] ?? state[kind];
  if (type === "DELETED") held.delete(object.metadata.uid);
  else held.set(object.metadata.uid, object);
  if (!fresh[kind]) changed(kind);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      yield* parts.filter(Boolean);
    }
  } finally {
    reader.cancel().catch(() => {}); // a stream that nobody reads keeps one of the browser's few connections
  }
}

async function decisions() {
  for (;;) {
    if (state.link === "live" && !document.hidden) {
      try {
        const last = state.decisions[0]?.number ?? 0;
        const { nowNs, items } = await (await ask(`decisions?after=${last}`)).json();
        state.nowNs = nowNs;
        state.decisions = [...items.reverse(), ...state.decisions].slice(0, 50);
        state.decidedAt = Date.now();
        changed("decisions");
      } catch { /* the watch tells of it */ }
    }
    await new Promise((done) => setTimeout(done, DECISIONS_MS));
  }
}
