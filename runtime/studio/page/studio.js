"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const GAP = 16;        // pixels between the prints of a pair
const REACH = 6;       // degrees that a slider goes either way: two are a standard deviation of a named trait
const MOST_BYTES = 1 << 20;
let template = null;   // {name, data} of the user's file
let about = null;
let running = null;    // the request whose answer is awaited
let timer = null;
let truncated = false; // by the user; otherwise the slider shows what the print has

// --- what is asked for

function traits() {
  const inputs = [...$("traits").querySelectorAll("input")];
  return Object.fromEntries(inputs.filter((each) => +each.value).map((each) => [each.name, +each.value]));
}

function asked(number) {
  const request = { seed: $("seed").value.trim(), number, traits: traits() };
  if ($("preset").value) request.preset = $("preset").value;
  if (truncated) request.truncation = +$("truncation").value;
  if (template) {
    request.template = { ...template, format: $("format").value };
    for (const key of ["width", "height", "ppi"]) request.template[key] = +$(key).value || null;
  }
  return request;
}

const pairShown = () => $("tab-pair").getAttribute("aria-pressed") === "true";

async function post(path, body, signal) {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
    throw new Error(problem.error);
  }
  return answer;
}

// --- what is shown

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function drawPrint(print, left, scale) {
  const side = 4 * scale, end = 14 * scale;
  const group = element("g", { transform: `translate(${left} 0)` }, $("view"));
  element("image", { href: print.image, width: print.width, height: print.height }, group);
  for (const [x, y, angle, kind] of print.minutiae ?? []) {
    const mark = element("g", { class: `minutia ${kind === "bifurcation" ? kind : "ending"}` }, group);
    const turn = angle * Math.PI / 180, dx = Math.cos(turn), dy = -Math.sin(turn);
    if (kind === "bifurcation") element("rect", { x: x - side, y: y - side, width: 2 * side, height: 2 * side }, mark);
    else element("circle", { cx: x, cy: y, r: side }, mark);
    element("line", { x1: x + side * dx, y1: y + side * dy, x2: x + end * dx, y2: y + end * dy }, mark);
  }
  for (const [x, y] of print.cores) {
    const mark = element("g", { class: "minutia core" }, group);
    for (const r of [side, 2 * side + 1]) element("circle", { cx: x, cy: y, r }, mark);
  }
  for (const [x, y] of print.deltas) {
    const points = `${x},${y - 2 * side} ${x - 2 * side},${y + 1.5 * side} ${x + 2 * side},${y + 1.5 * side}`;
    element("polygon", { class: "minutia delta", points }, group);
  }
}

function draw(prints, mates) {
  const width = prints.reduce((sum, each) => sum + each.width + GAP, -GAP);
  const height = Math.max(...prints.map((each) => each.height));
  const left = prints.length > 1 ? [0, prints[0].width + GAP] : [0];
  $("view").replaceChildren();
  $("view").setAttribute("viewBox", `0 0 ${width} ${height}`);
  // The prints of a pair are shown smaller.
  prints.forEach((each, number) => drawPrint(each, left[number], prints.length > 1 ? 1.6 : 1));
  for (const [one, other] of mates) {
    const [x1, y1] = prints[0].minutiae[one], [x2, y2] = prints[1].minutiae[other];
    element("line", { class: "mate", x1, y1, x2: x2 + left[1], y2 }, $("view"));
  }
}

function counted(print) {
  return print.minutiae ? `${print.minutiae.length} minutiae` : "minutiae not known";
}

function showTruncation(print) {
  if (truncated) return;
  $("truncation").value = print.truncation;
  showValue($("truncation"));
}

function describe(print) {
  return `${print.caption}: ${print.width} × ${print.height} pixels, ${print.ppi} ppi, ${counted(print)}`;
}

function fail(error) {
  $("error").textContent = error.message;
  $("error").hidden = false;
}

async function show() {
  running?.abort();
  running = new AbortController();
  const own = running;
  $("view").classList.add("busy");
  try {
    const left = +$("left").value, right = +$("right").value;
    const path = pairShown() ? "/api/pair" : "/api/print";
    const body = pairShown() ? { ...asked(left), left, right } : asked(left);
    const found = await (await post(path, body, own.signal)).json();
    if (pairShown() !== ("prints" in found)) return;
    if (pairShown()) {
      draw(found.prints, found.mates);
      showTruncation(found.prints[0]);
      const shared = found.prints[0].minutiae ? `${found.mates.length} minutiae in both; ` : "";
      const score = found.score === null ? found.remark : `Bozorth3 score ${found.score}, ${found.remark}`;
      $("caption").textContent = `${found.prints.map((each) => each.caption).join(" — ")}: ${shared}${score}`;
    } else {
      draw([found], []);
      showTruncation(found);
      $("caption").textContent = describe(found);
    }
    $("warnings").replaceChildren(...(found.warnings ?? []).map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
    $("error").hidden = true;
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    if (own === running) $("view").classList.remove("busy");
  }
}

function refresh() {
  clearTimeout(timer);
  timer = setTimeout(show, 80);
}

async function save(number) {
  try {
    const answer = await post("/api/file", { ...asked(number), to: $("to").value });
    const name = answer.headers.get("Content-Disposition").match(/filename="(.*)"/)[1];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    $("error").hidden = true;
  } catch (error) {
    fail(error);
  }
}

// --- the controls

function choose(pair) {
  $("tab-print").setAttribute("aria-pressed", String(!pair));
  $("tab-pair").setAttribute("aria-pressed", String(pair));
  $("right").hidden = $("lines-label").hidden = $("save-right").hidden = !pair;
  $("save-left").textContent = pair ? "Download left" : "Download";
  refresh();
}

async function take(file) {
  if (!file) return;
  if (file.size > MOST_BYTES) {
    fail(new Error(`${file.name}: has more than 1 MiB: give a minutiae template`));
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const each of bytes) text += String.fromCharCode(each);
  template = { name: file.name, data: btoa(text) };
  $("drop-text").textContent = file.name;
  $("remove").hidden = false;
  $("numbers").hidden = $("preset-row").hidden = true;
  choose(false);
}

function removeTemplate() {
  template = null;
  $("file").value = "";
  $("drop-text").textContent = "Drop a template here, or";
  $("remove").hidden = true;
  $("numbers").hidden = false;
  $("preset-row").hidden = !about.presets.length;
  refresh();
}

function step(by) {
  try {
    const next = BigInt($("seed").value.trim()) + by;
    if (next >= 0n && next < 1n << 64n) $("seed").value = String(next);
  } catch {
    $("seed").value = "0";
  }
  refresh();
}

function slider(name) {
  const row = document.createElement("div");
  row.className = "slider";
  const label = document.createElement("label"), input = document.createElement("input");
  const output = document.createElement("output");
  label.textContent = about.named ? name : `direction ${name}`;
  label.htmlFor = input.id = `trait-${name}`;
  Object.assign(input, { type: "range", name, min: -REACH, max: REACH, step: 0.5, value: 0 });
  output.textContent = "0";
  row.append(label, input, output);
  return row;
}

function options(select, formats) {
  for (const { name, text } of formats) select.append(new Option(text, name));
}

function resetLook() {
  for (const each of $("traits").querySelectorAll("input")) {
    each.value = 0;
    showValue(each);
  }
  truncated = false;
  refresh();
}

function showValue(input) {
  input.parentElement.querySelector("output").textContent = input.value;
}

async function begin() {
  try {
    about = await (await fetch("/api/about")).json();
  } catch {
    fail(new Error("the server does not answer: start fg-run studio again"));
    return;
  }
  $("bundle").textContent = `bundle ${about.bundle} on ${about.backend}`;
  $("traits").replaceChildren(...about.traits.map(slider));
  $("preset").append(new Option("any look", ""));
  for (const name of about.presets) $("preset").append(new Option(name));
  $("preset-row").hidden = !about.presets.length;
  $("drop").hidden = $("template-fields").hidden = !about.reconstructs;
  options($("format"), about.readable);
  for (const [kind, label] of [["images", "Images"], ["templates", "Templates"]]) {
    const group = document.createElement("optgroup");
    group.label = label;
    options(group, about.formats[kind]);
    $("to").append(group);
  }
  document.querySelectorAll(".slider input").forEach((each) => {
    each.addEventListener("input", () => showValue(each));
  });
  $("truncation").addEventListener("input", () => { truncated = true; });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").addEventListener("input", (event) => event.target !== $("file") && refresh());
  $("numbers").addEventListener("input", refresh);
  $("previous").addEventListener("click", () => step(-1n));
  $("next").addEventListener("click", () => step(1n));
  $("random").addEventListener("click", () => {
    $("seed").value = String(crypto.getRandomValues(new BigUint64Array(1))[0]);
    refresh();
  });
  $("reset").addEventListener("click", resetLook);
  $("tab-print").addEventListener("click", () => choose(false));
  $("tab-pair").addEventListener("click", () => choose(true));
  $("file").addEventListener("change", () => take($("file").files[0]));
  $("remove").addEventListener("click", removeTemplate);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    // Anywhere: a file that misses the field must not replace the page.
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && about.reconstructs) take(event.dataTransfer.files[0]);
    });
  }
  $("show-minutiae").addEventListener("change", (event) => {
    $("view").classList.toggle("no-minutiae", !event.target.checked);
  });
  $("show-lines").addEventListener("change", (event) => {
    $("view").classList.toggle("no-lines", !event.target.checked);
  });
  $("save-left").addEventListener("click", () => save(+$("left").value));
  $("save-right").addEventListener("click", () => save(+$("right").value));
  resetLook();
}

begin();
