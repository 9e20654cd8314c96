// Files from the page to the disk: one, or several in a zip, which is written here and not compressed.

const LARGEST = 2 ** 32 - 1; // bytes of a zip of the plain kind
const NAMES_ARE_UTF8 = 0x0800;

export function save(file, name) {
  const address = URL.createObjectURL(file);
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

// Files as [{name, file}] in one Blob; names that are there twice get a number.
export async function zip(files) {
  const parts = [];
  const directory = [];
  let place = 0;
  for (const { name, file } of distinct(files)) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const path = new TextEncoder().encode(name);
    const shared = [NAMES_ARE_UTF8, 0, ...dosTime(new Date()), crc32(bytes), bytes.length, bytes.length, path.length, 0];
    const head = packed("22222 444 22", [20, ...shared]);
    parts.push(packed("4", [0x04034b50]), head, path, bytes);
    directory.push(packed("4", [0x02014b50]), packed("222222 444 22", [20, 20, ...shared]));
    directory.push(packed("22244", [0, 0, 0, 0, place]), path);
    place += 4 + head.length + path.length + bytes.length;
    if (place > LARGEST) throw new RangeError("too large");
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const count = directory.length / 4;
  const end = packed("4 2222 44 2", [0x06054b50, 0, 0, count, count, size, place, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function* distinct(files) {
  const taken = new Set();
  for (const { name, file } of files) {
    const dot = name.lastIndexOf(".");
    let free = name;
    for (let n = 2; taken.has(free); n += 1) free = `${name.slice(0, dot)} (${n})${name.slice(dot)}`;
    taken.add(free);
    yield { name: free, file };
  }
}

// Numbers of 2 or 4 bytes each, the low byte first.
function packed(sizes, numbers) {
  const bytes = [];
  [...sizes.replaceAll(" ", "")].forEach((size, n) => {
    for (let byte = 0; byte < Number(size); byte += 1) bytes.push((numbers[n] >>> (8 * byte)) & 255);
  });
  return new Uint8Array(bytes);
}

function dosTime(date) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  return [time, day];
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
