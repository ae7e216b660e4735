// Encode masks as PNG files of class ids, which a canvas could not export.

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

// Upscale a mask (nearest neighbor) to the size of the photo's file and encode
// it as 8-bit PNG: grayscale class ids, or indexed colors with a palette.
export async function maskFile(result, palette) {
  const [width, height] = result.fileSize;
  const columns = Uint32Array.from({ length: width }, (_, x) =>
    Math.floor(((x + 0.5) * result.width) / width)
  );
  const deflate = new CompressionStream("deflate");
  const pixels = new Response(deflate.readable).arrayBuffer();
  const writer = deflate.writable.getWriter();
  // Compress row by row, so that a huge mask is never in memory as a whole.
  for (let y = 0; y < height; y++) {
    const first = Math.floor(((y + 0.5) * result.height) / height);
    const row = new Uint8Array(1 + width); // the first byte: filter type none
    for (let x = 0; x < width; x++) {
      row[1 + x] = result.mask[first * result.width + columns[x]];
    }
    await writer.write(row);
  }
  await writer.close();

  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header[8] = 8; // bit depth
  header[9] = palette ? 3 : 0; // color type: indexed or grayscale
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  const chunks = [Uint8Array.from(signature), chunk("IHDR", header)];
  if (palette) chunks.push(chunk("PLTE", Uint8Array.from(palette.flat())));
  chunks.push(chunk("IDAT", new Uint8Array(await pixels)));
  chunks.push(chunk("IEND", new Uint8Array()));
  return new Blob(chunks, { type: "image/png" });
}

function chunk(name, content) {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set([...name].map((c) => c.charCodeAt(0)), 4);
  bytes.set(content, 8);
  const checked = bytes.subarray(4, 8 + content.length);
  view.setUint32(8 + content.length, checksum(checked));
  return bytes;
}

function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
