// One photo on the page: its pictures, its settings, and what became of it.

import { Refused, derained, derainedInPart } from "./server.js";
import { save } from "./saving.js";

const template = document.querySelector("#photo");
let count = 0;

export class Photo {
  constructor(file, onChange) {
    this.file = file;
    this.onChange = onChange;
    this.state = "waiting"; // then busy, then done or failed
    this.element = template.content.firstElementChild.cloneNode(true);
    this.inPart = new Map(); // results by strength
    this.addresses = [];
    this.label();
    this.listen();
    this.show("before", file);
    this.start();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  get strength() {
    return Number(this.find(".strength input").value) / 100;
  }

  // What the result is called: as `derain run` calls it.
  get name() {
    const [, stem, ending] = this.file.name.match(/^(.*?)(\.[^.]*)?$/);
    return `${stem || "photo"}.derained${ending ?? this.parts.result.name.match(/\.[^.]*$/)}`;
  }

  label() {
    const name = this.file.name || "Pasted photo";
    count += 1;
    this.find("h2").textContent = name;
    this.find(".before").alt = `${name}, before and after`;
    this.find(".rain").alt = `The rain in ${name}`;
    this.find(".divider").setAttribute("aria-label", `Divider between before and after of ${name}`);
    this.find(".strength input").setAttribute("aria-label", `Rain taken away from ${name}`);
    for (const radio of this.element.querySelectorAll(".views input")) radio.name = `view-${count}`;
    for (const button of this.element.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    }
  }

  listen() {
    const viewer = this.find(".viewer");
    this.find(".divider").addEventListener("input", (event) => {
      const at = event.target.value;
      viewer.style.setProperty("--at", `${at}%`);
      viewer.dataset.end = at < 12 ? "left" : at > 88 ? "right" : "";
      event.target.setAttribute("aria-valuetext", `${at}% before`);
    });
    this.find(".views").addEventListener("change", (event) => (viewer.dataset.view = event.target.value));
    this.find(".strength input").addEventListener("input", () => {
      viewer.style.setProperty("--strength", this.strength);
      this.find("output").textContent = `${Math.round(100 * this.strength)}%`;
    });
    this.find(".download").addEventListener("click", () => this.download());
    this.find(".again").addEventListener("click", () => this.start());
    this.find(".remove").addEventListener("click", () => this.remove());
    this.find(".before").addEventListener("load", ({ target }) => {
      viewer.style.setProperty("--ratio", target.naturalWidth / target.naturalHeight);
    });
    this.find(".before").addEventListener("error", ({ target }) => target.removeAttribute("src")); // of a format it lacks
  }

  async start() {
    this.stopping = new AbortController();
    this.become("waiting", "Waiting");
    try {
      this.parts = await derained(this.file, this.stopping.signal, () => this.become("busy", "Removing the rain"));
      for (const name of ["before", "after", "rain"]) this.show(name, this.parts[name]);
      await Promise.all(["before", "after"].map((name) => this.find(`.${name}`).decode().catch(() => {})));
      this.inPart.set(1, this.parts.result);
      this.tell(this.parts.report);
      this.become("done");
    } catch (error) {
      this.fail(error);
    }
  }

  become(state, said = "") {
    this.state = state;
    const viewer = this.find(".viewer");
    viewer.classList.remove("waiting", "busy", "done", "failed");
    viewer.classList.add(state);
    this.find(".state").textContent = said;
    if (state !== "done") this.find(".facts").textContent = said;
    const dry = this.parts?.report.untouched === true;
    viewer.classList.toggle("dry", dry);
    this.find(".download").hidden = state !== "done";
    for (const selector of [".views", ".strength"]) this.find(selector).hidden = state !== "done" || dry;
    this.find(".again").hidden = state !== "failed";
    this.find(".error").hidden = state !== "failed";
    this.onChange();
  }

  tell({ width, height, rain_coverage: coverage, untouched, notes }) {
    const found = untouched ? "No rain found. The photo is as it was." : `Rain on ${percent(coverage)} of the picture.`;
    this.find(".facts").textContent = `${width} × ${height} px. ${found}`;
    this.find(".notes").hidden = !notes.length;
    this.find(".notes").replaceChildren(...notes.map((note) => Object.assign(document.createElement("li"), {
      textContent: note[0].toUpperCase() + note.slice(1),
    })));
  }

  fail(error) {
    if (this.stopping.signal.aborted) return;
    const known = error instanceof Refused;
    this.find(".error").textContent = known ? error.message : "Something went wrong on this page. Try again.";
    this.become("failed");
    this.find(".again").hidden = error.final === true;
    if (!known) console.error(error);
  }

  show(name, file) {
    const address = URL.createObjectURL(file);
    this.addresses.push(address);
    this.find(`.${name}`).src = address;
    if (name === "before") this.find(".same").src = address;
  }

  // The file to download, at the strength that is shown; asked for anew where the server has not made it yet.
  async result() {
    const { strength } = this;
    if (!this.inPart.has(strength) && !this.parts.report.untouched) {
      this.inPart.set(strength, await derainedInPart(this.file, strength, this.stopping.signal));
    }
    return this.inPart.get(strength) ?? this.parts.result;
  }

  async download() {
    const button = this.find(".download");
    button.disabled = true;
    button.textContent = "Making it";
    this.find(".error").hidden = true;
    try {
      save(await this.result(), this.name);
    } catch (error) {
      if (!this.stopping.signal.aborted) {
        this.find(".error").textContent = error instanceof Refused ? error.message : "It could not be made. Try again.";
        this.find(".error").hidden = false;
      }
    } finally {
      button.disabled = false;
      button.textContent = "Download";
    }
  }

  remove() {
    this.stopping.abort();
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    const focus = this.element.contains(document.activeElement);
    this.element.remove();
    this.addresses.forEach(URL.revokeObjectURL);
    this.state = "removed";
    this.onChange();
    if (focus) (next?.querySelector(".remove") ?? document.querySelector("#choose")).focus();
  }
}

function percent(share) {
  return share < 0.01 ? "less than 1%" : `${Math.round(100 * share)}%`;
}
