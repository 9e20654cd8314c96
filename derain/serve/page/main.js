// The page: photos come in by choosing, dropping or pasting, and go out one by one or all at once.

import { Photo } from "./photo.js";
import { save, zip } from "./saving.js";

const find = (selector) => document.querySelector(selector);
let photos = [];

function add(files) {
  const added = [...files].map((file) => new Photo(file, update));
  photos.push(...added);
  find("#photos").append(...added.map((photo) => photo.element));
  update();
}

function update() {
  photos = photos.filter((photo) => photo.state !== "removed");
  const done = photos.filter((photo) => photo.state === "done").length;
  const failed = photos.filter((photo) => photo.state === "failed").length;
  document.body.classList.toggle("some", photos.length > 0);
  find("#all").hidden = photos.length < 2;
  find("#summary").textContent = `${done} of ${photos.length} photos done${failed ? `, ${failed} failed` : ""}`;
  find("#download-all").disabled = !done;
  find("#trouble").hidden = true;
}

async function downloadAll() {
  const button = find("#download-all");
  const done = photos.filter((photo) => photo.state === "done");
  button.disabled = true;
  button.textContent = "Making the zip";
  try {
    const files = await Promise.all(done.map(async (photo) => ({ name: photo.name, file: await photo.result() })));
    save(await zip(files), "derained.zip");
  } catch (error) {
    const large = error instanceof RangeError;
    find("#trouble").textContent = large
      ? "Together they are too large for a zip. Download them one by one."
      : `The zip could not be made. ${error.message}`;
    find("#trouble").hidden = false;
  } finally {
    button.disabled = false;
    button.textContent = "Download all";
  }
}

find("#choose").addEventListener("change", ({ target }) => {
  add(target.files);
  target.value = ""; // so that the same photo can be chosen again
});
find("#download-all").addEventListener("click", downloadAll);
find("#remove-all").addEventListener("click", () => {
  photos.forEach((photo) => photo.remove());
  find("#choose").focus();
});

let within = 0; // elements that something is dragged over
const holdsFiles = (event) => event.dataTransfer.types.includes("Files");
const hint = (by) => {
  within = by ? within + by : 0;
  find("#drop-hint").hidden = within <= 0;
};
addEventListener("dragenter", (event) => holdsFiles(event) && hint(1));
addEventListener("dragleave", (event) => holdsFiles(event) && hint(-1));
addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  hint(0);
  add(event.dataTransfer.files);
});
addEventListener("paste", (event) => event.clipboardData.files.length && add(event.clipboardData.files));
