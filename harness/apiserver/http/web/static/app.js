// The page: draws what state.js knows, at most a few times a second. Text from the cluster is only ever set as text.

import { ask, kinds, onChange, start, state } from "./state.js";

const MOST_NODES = 200, MOST_ROWS = 100, DRAW_MS = 250;
const byId = (id) => document.getElementById(id);
const several = (count, word) => (count === 1 ? word : `${word}s`);

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// -- what objects say ---------------------------------------------------------------------------------------------------

const SUFFIXES = { m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50 };

function quantity(text) {
  const [, number, suffix] = /^([-+.\deE]*?\d\.?)([a-zA-Z]*)$/.exec(String(text)) ?? [null, "0", ""];
  return Number(number) * (SUFFIXES[suffix] ?? 1);
}

const GPU_COUNT = "alibaba.com/gpu-count", GPU_MILLI = "alibaba.com/gpu-milli";

function requests(pod) {
  const total = {};
  const add = (amounts, into) => { for (const [name, text] of Object.entries(amounts ?? {})) into[name] = (into[name] ?? 0) + quantity(text); };
  for (const container of pod.spec.containers) add(container.resources?.requests, total);
  for (const container of pod.spec.initContainers ?? []) {
    const own = {};
    add(container.resources?.requests, own);
    for (const [name, amount] of Object.entries(own))
      total[name] = container.restartPolicy === "Always" ? (total[name] ?? 0) + amount : Math.max(total[name] ?? 0, amount);
  }
  add(pod.spec.overhead, total);
  // Whole and shared GPUs, as the scheduler reads them.
  const { [GPU_COUNT]: count, [GPU_MILLI]: milli } = pod.metadata.annotations ?? {};
  if (milli) total[GPU_COUNT] = (Number(count ?? 1) * Number(milli)) / 1000;
  return total;
}

const condition = (object, type) => object.status?.conditions?.find((item) => item.type === type);

function podState(pod) {
  const phase = pod.status?.phase;
  if (phase === "Failed") return "failed";
  if (phase === "Succeeded") return "done";
  if (pod.metadata.deletionTimestamp) return "leaving";
  if (phase !== "Running") return "starting";
  return condition(pod, "Ready")?.status === "True" ? "running" : "unready";
}

const WORDS = { running: "running", starting: "starting", unready: "not ready", leaving: "terminating", done: "completed", failed: "failed" };
const key = (object) => [object.metadata.namespace, object.metadata.name].filter(Boolean).join("/");
const sorted = (map, by) => [...map.values()].sort((a, b) => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0));
const newest = (map, time) => sorted(map, time).reverse();

function span(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}

const age = (text) => (text ? span((Date.now() - Date.parse(text)) / 1000) : "");

function amount(name, value) {
  if (name === "memory" || name === "ephemeral-storage") return value >= 2 ** 30 ? `${round(value / 2 ** 30)} Gi` : `${round(value / 2 ** 20)} Mi`;
  return round(value);
}

const round = (value) => String(Number(value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)));
const score = (value) => (value === null ? "none" : String(Number(value.toPrecision(4))));

// -- drawing ------------------------------------------------------------------------------------------------------------

function table(id, heads, rows, none) {
  const made = rows.map(({ cells, warning }) =>
    make("tr", { class: warning ? "warning" : null }, ...cells.map((cell, index) =>
      make("td", { "data-head": heads[index], class: typeof cell === "string" && cell.length < 24 ? "tight" : null }, cell))));
  const whole = rows.length
    ? make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...made))
    : make("p", { class: "soft" }, none);
  byId(id).replaceChildren(whole);
}

const cards = new Map(); // by node name: what is drawn of it, and from what

function drawNodes() {
  const onNode = new Map();
  for (const pod of state.pods.values()) {
    const node = pod.spec.nodeName;
    if (node) onNode.set(node, [...(onNode.get(node) ?? []), pod]);
  }
  const wanted = byId("nodes-filter").value.trim();
  const all = sorted(state.nodes, (node) => node.metadata.name).filter((node) => node.metadata.name.includes(wanted));
  const shown = all.slice(0, MOST_NODES);
  byId("nodes-more").textContent = all.length > shown.length ? `the first ${shown.length} of ${all.length}` : all.length ? "" : "There are no such nodes.";
  const names = new Set(shown.map((node) => node.metadata.name));
  for (const [name, { card }] of cards) if (!names.has(name)) { card.remove(); cards.delete(name); }
  shown.forEach((node, index) => {
    const pods = (onNode.get(node.metadata.name) ?? []).sort((a, b) => (key(a) < key(b) ? -1 : 1));
    const mark = [node.metadata.resourceVersion, ...pods.map((pod) => pod.metadata.uid + pod.metadata.resourceVersion)].join();
    const held = cards.get(node.metadata.name);
    if (held?.mark === mark) return;
    const open = held?.card.querySelector("details").open ?? false;
    const card = nodeCard(node, pods, open);
    if (held) held.card.replaceWith(card);
    else byId("nodes").insertBefore(card, byId("nodes").children[index] ?? null);
    cards.set(node.metadata.name, { card, mark });
  });
}

function nodeCard(node, pods, open) {
  const ready = condition(node, "Ready")?.status === "True";
  const used = {};
  for (const pod of pods) {
    if (["Failed", "Succeeded"].includes(pod.status?.phase)) continue;
    used.pods = (used.pods ?? 0) + 1;
    for (const [name, value] of Object.entries(requests(pod))) used[name] = (used[name] ?? 0) + value;
  }
  const bars = Object.entries(node.status?.allocatable ?? {})
    .filter(([name]) => !name.startsWith("hugepages") && name !== "ephemeral-storage")
    .map(([name, text]) => {
      const most = quantity(text), now = used[name] ?? 0;
      const label = `${amount(name, now)} of ${amount(name, most)}`;
      return make("div", { class: "bar" }, make("span", { title: name }, name.split("/").pop()),
        make("meter", { min: 0, max: most || 1, value: now, "aria-label": `${name} requested on ${node.metadata.name}: ${label}` }), make("span", {}, label));
    });
  const taints = (node.spec?.taints ?? []).map((taint) => `${taint.key}:${taint.effect}`);
  const says = [ready ? "Ready" : "NotReady", node.spec?.unschedulable ? "cordoned" : "", node.metadata.labels?.["topology.kubernetes.io/zone"] ?? ""].filter(Boolean);
  const squares = pods.map((pod) => make("i", { class: `pod ${podState(pod)}`, title: `${key(pod)}: ${WORDS[podState(pod)]}` }));
  const list = pods.map((pod) => make("li", {}, `${key(pod)}: ${WORDS[podState(pod)]}`));
  const details = make("details", open ? { open: "" } : {}, make("summary", {}, `${pods.length} ${pods.length === 1 ? "pod" : "pods"}`), make("ul", {}, ...list));
  const name = node.metadata.name;
  const one = { select: { names: [name] } };
  const buttons = state.about?.faults
    ? make("div", { class: "actions" }, button(`Crash ${name}`, "Crash", { nodeCrash: one }),
        node.spec?.unschedulable ? button(`Uncordon ${name}`, "Uncordon", { uncordon: one }) : button(`Cordon ${name}`, "Cordon", { cordon: one }),
        button(`Drain ${name}`, "Drain", { drain: one }))
    : null;
  return make("article", { class: `node ${ready ? (node.spec?.unschedulable ? "closed" : "") : "bad"}`, "data-node": name },
    make("h3", {}, name, make("span", {}, says.join(", "))),
    taints.length ? make("p", { class: "soft" }, `taints: ${taints.join(", ")}`) : null, ...bars, make("div", { class: "pods" }, ...squares), details, buttons);
}

function drawPending() {
  const pending = sorted(state.pods, (pod) => pod.metadata.creationTimestamp)
    .filter((pod) => !pod.spec.nodeName && !["Failed", "Succeeded"].includes(pod.status?.phase));
  byId("pending-title").textContent = `Pending pods (${pending.length})`;
  const rows = pending.slice(0, MOST_ROWS).map((pod) => {
    const found = condition(pod, "PodScheduled");
    const gates = (pod.spec.schedulingGates ?? []).map((gate) => gate.name).join(", ");
    const why = gates ? `scheduling gates: ${gates}` : found?.message || found?.reason || "waits for the scheduler";
    return { cells: [key(pod), age(pod.metadata.creationTimestamp), why] };
  });
  table("pending", ["Pod", "For", "Reason"], rows, "Every pod has a node.");
}

function drawDecisions() {
  const scale = state.about?.timeScale ?? 1;
  const rows = state.decisions.map((item) => {
    const ago = span((state.nowNs - item.atNs) / 1e9 / scale + (Date.now() - state.decidedAt) / 1000);
    const what = item.does === "bind" ? `on ${item.node}` : `${item.does}: ${item.reason}`;
    const lines = (item.scores ?? []).map((node) => make("li", { class: node.node === item.node ? "chosen" : null,
      title: Object.entries(node.parts).map(([name, value]) => `${name}: ${score(value)}`).join("\n") }, `${node.node}: ${score(node.total)}`));
    const scores = lines.length ? make("ul", { class: "scores" }, ...lines, make("li", { class: "soft" }, `${item.feasible} feasible`)) : item.unexplained ?? (item.does === "bind" ? "not asked for" : "");
    return { cells: [item.pod ?? "", what, ago, scores], warning: item.does === "illegal" };
  });
  table("decisions", ["Pod", "Decision", "Ago", "Scores of the best nodes"], rows, "The strategy has decided nothing yet.");
}

function metricText(hpa) {
  const current = new Map((hpa.status?.currentMetrics ?? []).map((item) => [JSON.stringify([item.type, name(item)]), item]));
  return (hpa.spec.metrics ?? []).map((item) => {
    const now = current.get(JSON.stringify([item.type, name(item)]));
    return `${name(item)} ${value(part(now)?.current)} of ${value(part(item)?.target)}`;
  }).join("; ");
}
const part = (item) => (item ? item[item.type[0].toLowerCase() + item.type.slice(1)] : undefined);
const name = (item) => part(item)?.name ?? part(item)?.metric?.name ?? item.type;
function value(found) {
  if (!found) return "unknown";
  return found.averageUtilization !== undefined ? `${found.averageUtilization} %` : found.averageValue ?? found.value ?? "unknown";
}

function drawAutoscalers() {
  const rows = [];
  for (const hpa of sorted(state.hpas, key)) {
    const { minReplicas = 1, maxReplicas, scaleTargetRef } = hpa.spec, { currentReplicas = 0, desiredReplicas = 0 } = hpa.status ?? {};
    const limited = condition(hpa, "ScalingLimited")?.status === "True" ? condition(hpa, "ScalingLimited").message : "";
    const inactive = condition(hpa, "ScalingActive")?.status === "False" ? condition(hpa, "ScalingActive").message : "";
    rows.push({ cells: [`HorizontalPodAutoscaler ${key(hpa)}`, `${scaleTargetRef.kind}/${scaleTargetRef.name}: ${currentReplicas} replicas, wants ${desiredReplicas} (${minReplicas} to ${maxReplicas})`,
      [metricText(hpa), inactive || limited].filter(Boolean).join("; ")], warning: Boolean(inactive) });
  }
  for (const vpa of sorted(state.vpas, key)) {
    const advice = (vpa.status?.recommendation?.containerRecommendations ?? []).map((item) => `${item.containerName}: ${Object.entries(item.target ?? {}).map(([what, much]) => `${what} ${much}`).join(", ")}`);
    rows.push({ cells: [`VerticalPodAutoscaler ${key(vpa)}`, vpa.spec.updatePolicy?.updateMode ?? "Recreate", advice.join("; ") || "no recommendation yet"] });
  }
  for (const pool of sorted(state.nodepools, key)) {
    const claims = [...state.nodeclaims.values()].filter((claim) => claim.metadata.labels?.["karpenter.sh/nodepool"] === pool.metadata.name);
    const ready = claims.filter((claim) => condition(claim, "Ready")?.status === "True").length;
    rows.push({ cells: [`NodePool ${key(pool)}`, `${claims.length} NodeClaims, ${ready} ready`, condition(pool, "Ready")?.message ?? ""] });
  }
  for (const map of state.configmaps.values()) {
    const text = map.data?.status ?? "";
    rows.push({ cells: ["cluster-autoscaler", make("pre", {}, text.slice(0, 4000)), ""] });
  }
  table("autoscalers", ["Autoscaler", "State", "Metrics and conditions"], rows, "There is no autoscaler in this cluster.");
}

function drawFaults() {
  const rows = newest(state.faults, (fault) => fault.metadata.creationTimestamp ?? "").slice(0, MOST_ROWS).map((fault) => {
    const status = fault.status ?? {}, kind = status.fault ?? Object.keys(fault.spec ?? {}).find((item) => item !== "undo") ?? "";
    const undo = state.about?.faults && status.phase === "Active"
      ? make("button", { type: "button", "aria-label": `Undo ${fault.metadata.name}`, onclick: () => change("PATCH", `/${fault.metadata.name}`, { spec: { undo: true } }) }, "Undo") : "";
    return { cells: [fault.metadata.name, kind, status.phase ?? "on its way", [status.target, status.message].filter(Boolean).join(": "), status.recovered ? `${status.recovered} recovered` : "", age(fault.metadata.creationTimestamp), undo], warning: status.phase === "Active" };
  });
  table("faults", ["Name", "Fault", "Phase", "Targets", "Victims", "Age", "Undo"], rows, state.about?.faults ? "No fault has been injected." : "No fault has been injected. This page is read-only; podyard up --web --web-faults gives it buttons.");
}

function drawEvents() {
  const only = byId("warnings-only").checked;
  const time = (event) => event.lastTimestamp ?? event.series?.lastObservedTime ?? event.eventTime ?? event.metadata.creationTimestamp ?? "";
  const rows = newest(state.events, (event) => time(event) + event.metadata.resourceVersion.padStart(20, "0")).filter((event) => !only || event.type === "Warning").slice(0, MOST_ROWS)
    .map((event) => {
      const on = event.involvedObject ?? {}, count = event.count ?? event.series?.count ?? 1;
      return { cells: [age(time(event)), event.reason ?? "", `${on.kind ?? ""} ${[on.namespace, on.name].filter(Boolean).join("/")}`, `${event.message ?? ""}${count > 1 ? ` (${count} times)` : ""}`], warning: event.type === "Warning" };
    });
  table("events", ["Ago", "Reason", "Object", "Message"], rows, "There are no events.");
}

function drawHeader() {
  const nodes = [...state.nodes.values()], pods = [...state.pods.values()];
  const ready = nodes.filter((node) => condition(node, "Ready")?.status === "True").length;
  const running = pods.filter((pod) => pod.status?.phase === "Running" && !pod.metadata.deletionTimestamp).length;
  const pending = pods.filter((pod) => !pod.spec.nodeName && pod.status?.phase === "Pending").length;
  const active = [...state.faults.values()].filter((fault) => fault.status?.phase === "Active").length;
  const totals = [[`${ready}/${nodes.length}`, "nodes ready"], [running, `${several(running, "pod")} running`], [pending, `${several(pending, "pod")} pending`], [active, `${several(active, "fault")} active`]];
  byId("totals").replaceChildren(...totals.map(([number, what]) => make("li", {}, make("b", {}, String(number)), what)));
  const link = byId("link");
  if (link.textContent !== state.link) link.textContent = state.link;
  link.className = state.link === "live" ? "live" : state.link === "connecting" ? "" : "lost";
  if (state.about) {
    const { scheduler, timeScale, faults } = state.about;
    byId("about").textContent = [`strategy: ${scheduler}`, timeScale === 1 ? "" : `${timeScale} times as fast as your clock`, faults ? "faults may be injected here" : "read-only"].filter(Boolean).join(" · ");
  }
}

// -- faults -------------------------------------------------------------------------------------------------------------

function button(label, text, spec) {
  return make("button", { type: "button", "aria-label": label, onclick: () => inject(spec) }, text);
}

let changes = 0;

// What is told is the answer to the last change that was asked for, whichever answer comes last.
async function change(method, path, body) {
  const mine = ++changes;
  const tell = (text) => { if (mine === changes) told.textContent = text; };
  const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const told = byId("fault-told");
  try {
    const answer = await ask(`apis/podyard.dev/v1/faults${path}`, { method, body: JSON.stringify(body), headers: { "content-type": type } });
    const data = await answer.json();
    tell(answer.ok ? `${data.metadata.name} is on its way` : `refused: ${data.message}`);
  } catch (error) {
    tell(`not sent: ${error.message}`);
  }
}

const dashed = (word) => word.replace(/[A-Z]/g, (mark) => `-${mark.toLowerCase()}`).replaceAll(/[^a-z0-9-]/g, "-");

function inject(spec) {
  const [kind] = Object.keys(spec);
  return change("POST", "", { apiVersion: "podyard.dev/v1", kind: "Fault", metadata: { generateName: `${dashed(kind)}-` }, spec });
}

function drawForm() {
  const faults = state.about?.faults;
  byId("inject").hidden = !faults;
  const kind = byId("fault-kind");
  if (!faults || kind.options.length) return;
  kind.replaceChildren(...Object.keys(faults).map((item) => make("option", item === "nodeCrash" ? { selected: "" } : {}, item)));
  kind.addEventListener("change", drawFields);
  drawFields();
  byId("inject").addEventListener("submit", (event) => {
    event.preventDefault();
    const spec = {};
    for (const field of byId("fault-fields").querySelectorAll("input")) if (field.value.trim()) spec[field.name] = plain(field.value.trim());
    if (!byId("fault-node-label").hidden && byId("fault-node").value) spec.select = { names: [byId("fault-node").value] };
    inject({ [kind.value]: spec });
  });
}

function plain(text) {
  try { return JSON.parse(text); } catch { return text; }
}

function drawFields() {
  const fields = state.about.faults[byId("fault-kind").value];
  byId("fault-node-label").hidden = !fields.some((field) => field.name === "select");
  byId("fault-fields").replaceChildren(...fields.filter((field) => field.name !== "select").map((field) =>
    make("label", {}, `${field.name} `, make("input", { type: "text", name: field.name, placeholder: field.required ? "needed" : "", size: 10, autocomplete: "off", ...(field.required ? { required: "" } : {}) }))));
}

function drawChoices() {
  const select = byId("fault-node"), names = sorted(state.nodes, (node) => node.metadata.name).map((node) => node.metadata.name);
  if (names.join() === [...select.options].slice(1).map((option) => option.value).join()) return;
  const held = select.value;
  select.replaceChildren(make("option", { value: "" }, "any one"), ...names.map((item) => make("option", { value: item }, item)));
  select.value = names.includes(held) ? held : "";
}

// -- when ---------------------------------------------------------------------------------------------------------------

const PARTS = [[["nodes", "pods"], drawNodes], [["pods"], drawPending], [["decisions"], drawDecisions], [["hpas", "vpas", "nodepools", "nodeclaims", "configmaps"], drawAutoscalers],
  [["faults"], drawFaults], [["events"], drawEvents], [["nodes"], drawChoices]];

const stale = new Set([...kinds, "decisions"]);
let asked = false;

function draw() {
  asked = false;
  const now = new Set(stale);
  stale.clear();
  drawHeader();
  drawForm();
  for (const [sources, part] of PARTS) if (sources.some((source) => now.has(source))) part();
}

function later() {
  if (asked) return;
  asked = true;
  setTimeout(draw, DRAW_MS);
}

onChange((kind) => {
  if (kind) stale.add(kind);
  later();
});
byId("nodes-filter").addEventListener("input", () => { stale.add("nodes"); later(); });
byId("warnings-only").addEventListener("change", () => { stale.add("events"); later(); });
setInterval(() => { for (const kind of ["pods", "faults", "events"]) stale.add(kind); later(); }, 10000); // ages
start();
