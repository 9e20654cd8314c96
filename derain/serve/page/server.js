// What this page asks of the server: one function a question, few questions at a time.

const AT_ONCE = 2;
const MOST_TRIES = 40; // while the server is full
const FINAL = new Set([400, 413, 415, 422]);

let running = 0;
const queue = [];

// An answer that is no photo; `final` if the same photo would get it again.
export class Refused extends Error {
  constructor(sentence, final = false) {
    super(sentence);
    this.final = final;
  }
}

// A photo taken apart: {result, rain, before, after} as files, and the report.
export async function derained(photo, signal, onStart) {
  const answer = await ask("parts=result,rain,before,after,report", photo, signal, onStart);
  const form = await answer.formData();
  const report = JSON.parse(await form.get("report").text());
  const [result, rain, before, after] = ["result", "rain", "before", "after"].map((name) => form.get(name));
  return { result, rain, before, after, report };
}

// The picture with a share of its rain taken away, as a Blob.
export async function derainedInPart(photo, strength, signal) {
  const answer = await ask(`strength=${strength}`, photo, signal, () => {});
  return answer.blob();
}

async function ask(options, photo, signal, onStart) {
  await room(signal);
  try {
    onStart();
    return await answered(options, photo, signal);
  } finally {
    running -= 1;
    queue.shift()?.();
  }
}

async function room(signal) {
  if (running >= AT_ONCE) await new Promise((resolve) => queue.push(resolve));
  running += 1;
  if (signal.aborted) {
    running -= 1;
    queue.shift()?.();
    throw signal.reason;
  }
}

async function answered(options, photo, signal) {
  for (let tries = 1; ; tries += 1) {
    const answer = await fetched(`v1/derain?${options}`, { method: "POST", body: photo, signal });
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => null);
    const mayCome = answer.status === 429 || answer.status === 503;
    if (!mayCome || tries === MOST_TRIES) {
      throw new Refused(sentence(said?.error, answer.status), FINAL.has(answer.status));
    }
    await seconds(Number(answer.headers.get("retry-after")) || 5, signal);
  }
}

async function fetched(address, how) {
  try {
    return await fetch(address, how);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached, or the photo cannot be read. Check both, and try again.");
  }
}

function sentence(said, status) {
  if (!said) return `The server answered with error ${status}. Try again later.`;
  const text = said.replace(/^the photo: /, "").replaceAll("`", "");
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

function seconds(count, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * count);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
