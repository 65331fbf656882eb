// The page of `mindcv serve`: gives pictures to the service and shows what it says. Everything that comes from outside
// (names of files and classes, messages) is set as text, never as markup.

const TOP_K = 5;
const MOST_PICTURES = 24;
const TOKEN = "mindcv-token";

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share >= 0.1 || share === 0 ? 0 : 1)} %`;
const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

let model = null; // what /model says
let pictures = []; // all so far, the newest first
let shown = null; // the one that is on the page

// Requests

class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Sends a request, asks for the token where one is needed, and returns the response or throws a Refusal. */
async function ask(path, body) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    if (body) headers["content-type"] = "application/octet-stream";
    let response;
    try {
      response = await fetch(path, { method: body ? "POST" : "GET", body, headers });
    } catch {
      throw new Refusal("the service cannot be reached, or the file cannot be read", 0);
    }
    if (response.status === 401) {
      await askForToken(Boolean(token));
      continue;
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw new Refusal(answer.error ?? answer.results?.[0]?.error ?? `the service answers ${response.status}`, response.status);
  }
}

let asking = null;

/** Opens the dialog once, whoever asks, and resolves when it was answered. */
function askForToken(wasWrong) {
  asking ??= new Promise((resolve) => {
    $("token-title").textContent = wasWrong ? "That token is not the right one" : "A token is needed";
    $("token").value = "";
    $("token-dialog").showModal();
    $("token-form").onsubmit = () => {
      sessionStorage.setItem(TOKEN, $("token").value.trim());
      asking = null;
      resolve();
    };
    $("token-dialog").oncancel = (event) => event.preventDefault();
  });
  return asking;
}

// The model

async function showModel() {
  try {
    model = await (await ask("model")).json();
  } catch (error) {
    $("facts").textContent = `This page could not ask what is served here: ${error.message}`;
    return;
  }
  document.title = `${model.name} · mindcv`;
  $("name").textContent = model.name;
  const [height, width] = model.preprocess.image_size;
  const classes = `${model.num_classes.toLocaleString("en")} ${model.num_classes === 1 ? "class" : "classes"}`;
  $("facts").textContent = [model.format, model.device, `${width} × ${height} pixels`, classes].filter(Boolean).join(" · ");
  if (!model.explains) {
    $("unexplained").textContent = `Where it looks cannot be shown: ${model.why_unexplained}.`;
    $("unexplained").hidden = false;
  }
  if (model.head === "multiple") {
    const mark = model.threshold ?? 0.5;
    const shown = model.threshold === null ? "" : " Those below it are not shown.";
    $("hint").textContent = `Each label has a probability of its own. The mark in a bar stands at ${percent(mark)}.${shown}`;
    $("hint").hidden = false;
    $("labels").classList.add("several");
    $("labels").style.setProperty("--mark", `${100 * mark}%`);
  }
}

// Pictures

/** Gives files to the service, one after the other, and shows each answer. */
async function take(files) {
  for (const file of files) {
    const picture = { file, name: file.name || "the picture", labels: null, heats: new Map() };
    const begin = performance.now();
    setBusy(`Looking at ${picture.name} …`);
    try {
      if (model && file.size > model.limits.body_bytes) {
        throw new Refusal(`it is larger than the ${model.limits.body_bytes / 1e6} MB that are allowed`, 413);
      }
      const answer = await (await ask(`predict?top_k=${TOP_K}`, file)).json();
      picture.all_ms = performance.now() - begin;
      picture.labels = answer.results[0].predictions;
      picture.times = answer.results[0].times;
    } catch (error) {
      showProblem(`${picture.name}: ${error.message}`);
      continue;
    }
    pictures.unshift(picture);
    for (const old of pictures.splice(MOST_PICTURES)) forget(old);
    show(picture);
    await showSeen(picture);
  }
}

function forget(picture) {
  for (const url of [picture.crop, ...picture.heats.values()]) if (url) URL.revokeObjectURL(url);
}

function setBusy(text) {
  $("problem").hidden = true;
  $("status").textContent = text;
  document.body.setAttribute("aria-busy", "true");
}

function showProblem(text) {
  document.body.removeAttribute("aria-busy");
  $("status").textContent = shown ? said(shown) : "Nothing yet: give it a picture.";
  $("problem").textContent = text;
  $("problem").hidden = false;
}

const said = ({ labels: [first] }) => (first ? `${first.class}, ${percent(first.probability)}` : "No label");

/** Puts a picture's answer on the page. */
function show(picture) {
  shown = picture;
  document.body.removeAttribute("aria-busy");
  $("problem").hidden = true;
  $("status").textContent = said(picture);
  $("labels").replaceChildren(...picture.labels.map((label) => labelItem(picture, label)));
  const { decode_ms, wait_ms, model_ms } = picture.times;
  for (const [id, value] of [["all", picture.all_ms], ["decode", decode_ms], ["wait", wait_ms], ["model", model_ms]]) {
    $(`time-${id}`).textContent = ms(value);
  }
  $("times").hidden = false;
  showCrop(picture);
  showHistory();
}

function labelItem(picture, label) {
  const item = document.createElement("li");
  const line = document.createElement(model?.explains ? "button" : "div");
  line.className = "label";
  const name = document.createElement("span");
  name.className = "class";
  name.textContent = label.class;
  const share = document.createElement("span");
  share.className = "share";
  share.textContent = percent(label.probability);
  const track = document.createElement("span");
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${100 * label.probability}%`;
  track.append(bar);
  line.append(name, share, track);
  if (model?.explains) {
    line.type = "button";
    line.title = `Show where it looks for ${label.class}`;
    line.setAttribute("aria-pressed", "false");
    line.dataset.index = label.index;
    line.onclick = () => showHeat(picture, label);
  }
  item.append(line);
  return item;
}

/** Fetches what the network sees of a picture, then where it looks. */
async function showSeen(picture) {
  try {
    picture.crop = URL.createObjectURL(await (await ask("crop", picture.file)).blob());
  } catch (error) {
    showProblem(`${picture.name}: ${error.message}`);
    return;
  }
  if (shown === picture) {
    showCrop(picture);
    showHistory();
  }
  if (model?.explains && picture.labels.length) await showHeat(picture, picture.labels[0]);
}

function showCrop(picture) {
  const isThere = Boolean(picture.crop);
  $("seen").hidden = !isThere;
  $("drop").hidden = isThere;
  $("another").hidden = !isThere;
  $("heat").hidden = true;
  $("looks").hidden = true;
  if (!isThere) return;
  $("crop").src = picture.crop;
  $("crop").alt = `What the network sees of ${picture.name}`;
  $("caption").textContent = `What the network sees of ${picture.name}`;
  if (picture.heat) placeHeat(picture, picture.heat);
}

/** Shows where the network looks for a class; asks for it once. */
async function showHeat(picture, label) {
  picture.heat = label;
  if (!picture.heats.has(label.index)) {
    try {
      const drawn = await ask(`explain?class_index=${label.index}`, picture.file);
      picture.heats.set(label.index, URL.createObjectURL(await drawn.blob()));
    } catch (error) {
      if (shown === picture) {
        $("unexplained").textContent = `Where it looks cannot be shown: ${error.message}.`;
        $("unexplained").hidden = false;
      }
      return;
    }
  }
  if (shown === picture && picture.heat === label) placeHeat(picture, label);
}

function placeHeat(picture, label) {
  const url = picture.heats.get(label.index);
  if (!url) return;
  $("heat").src = url;
  $("heat").alt = `Where it looks for ${label.class}`;
  $("heat").hidden = false;
  $("looks").hidden = false;
  $("caption").textContent = `What the network sees of ${picture.name}, and where it looks for ${label.class}`;
  for (const line of $("labels").querySelectorAll("button")) {
    line.setAttribute("aria-pressed", String(Number(line.dataset.index) === label.index));
  }
}

function setStrength() {
  $("heat").style.opacity = $("strength").value / 100;
  $("strength-text").textContent = `${$("strength").value} %`;
}

function showHistory() {
  $("history").hidden = pictures.length < 2;
  const items = pictures.map((picture) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-current", String(picture === shown));
    button.title = picture.name;
    const image = document.createElement("img");
    image.alt = picture.name;
    if (picture.crop) image.src = picture.crop;
    const name = document.createElement("span");
    name.textContent = picture.labels[0]?.class ?? "No label";
    button.append(image, name);
    button.onclick = () => {
      show(picture);
      $("pictures").querySelector('[aria-current="true"]').focus();
    };
    item.append(button);
    return item;
  });
  $("pictures").replaceChildren(...items);
}

// Where pictures come from. They are taken one after the other, also when more come meanwhile.

let queue = Promise.resolve();

function add(files) {
  const chosen = [...files];
  if (!chosen.length) return;
  queue = queue.then(() => take(chosen));
}

$("file").onchange = () => {
  add($("file").files);
  $("file").value = ""; // so that the same file can be chosen again
};
$("another").onclick = () => $("file").click();
$("strength").oninput = setStrength;

let depth = 0; // dragenter and dragleave come for every element that is passed
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  depth += 1;
  document.body.classList.add("is-dragging");
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  depth -= 1;
  if (depth <= 0) endDrag();
});
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  endDrag();
  add(event.dataTransfer.files);
});
addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));

function endDrag() {
  depth = 0;
  document.body.classList.remove("is-dragging");
}

// The camera

let stream = null;

$("camera").onclick = async () => {
  $("camera-problem").hidden = true;
  $("shoot").disabled = true;
  $("camera-dialog").showModal();
  try {
    if (!navigator.mediaDevices) throw new Error("a browser lends its camera to https and to localhost only");
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    $("video").srcObject = stream;
    await $("video").play();
    $("shoot").disabled = false;
    $("shoot").focus();
  } catch (error) {
    $("camera-problem").textContent = `There is no camera: ${error.message}`;
    $("camera-problem").hidden = false;
  }
  if (!$("camera-dialog").open) stopCamera(); // it was closed meanwhile
};

$("shoot").onclick = () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [$("video").videoWidth, $("video").videoHeight];
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  canvas.toBlob((blob) => add([new File([blob], "camera.jpg", { type: blob.type })]), "image/jpeg", 0.92);
  $("camera-dialog").close();
};

$("camera-close").onclick = () => $("camera-dialog").close();
$("camera-dialog").onclose = stopCamera;

function stopCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("video").srcObject = null;
}

setStrength();
await showModel();
document.body.dataset.ready = "true";
