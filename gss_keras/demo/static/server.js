// Client of the server's API.

// Random id, so that the server can take turns between visitors.
const visitor = Math.random().toString(36).slice(2);

export async function describe() {
  return fetchJson("api/model");
}

export async function fetchExample(index, title) {
  const response = await request(`api/examples/${index}`);
  return new File([await response.blob()], `${title}.png`);
}

// Segment a photo; return tokens, maskige, mask and confidence as arrays.
export async function segment(file, scale, signal) {
  const start = performance.now();
  const answer = await fetchJson(`api/segment?scale=${scale}`, {
    method: "POST",
    body: file,
    signal,
    headers: { "Content-Type": "application/octet-stream" },
  });
  const [width, height] = answer.size;
  const [columns, rows] = answer.grid;
  const [mask, maskige, tokens, tokenProbability, confidence] =
    await Promise.all(
      [answer.mask, answer.maskige, answer.tokens, answer.token_probability,
        answer.confidence].map(unpack)
    );
  return {
    photo: `data:image/jpeg;base64,${answer.photo}`,
    fileSize: answer.file_size,
    fullSize: answer.full_size,
    seconds: answer.seconds,
    hasCompiled: answer.has_compiled,
    elapsed: (performance.now() - start) / 1000,
    scale, width, height, columns, rows,
    mask, maskige, confidence, tokenProbability,
    tokens: new Uint16Array(tokens.buffer),
  };
}

export async function describeToken(token) {
  const answer = await fetchJson(`api/tokens/${token}`);
  const [alone, field] = await Promise.all(
    [answer.alone, answer.field].map(unpack)
  );
  return { token, side: answer.side, alone, field };
}

async function fetchJson(url, options) {
  return (await request(url, options)).json();
}

async function request(url, options = {}) {
  const headers = { ...options.headers, "X-Visitor": visitor };
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(
      "The server does not respond. Is `gss-keras demo` still running?"
    );
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Error(
    body.error ?? `The server responded with status ${response.status}.`
  );
}

// Decode base64 and decompress zlib.
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream()
    .pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
