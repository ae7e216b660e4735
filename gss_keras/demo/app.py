"""Answer the page's requests: a photo in, what became of it out."""

import asyncio
import base64
import contextlib
import io
import json
import math
import time
import zlib
from pathlib import Path

import keras
import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gss_keras.demo import examples
from gss_keras.demo.analysis import Analyzer
from gss_keras.demo.guard import Guard
from gss_keras.demo.shown_palettes import shown_palettes
from gss_keras.demo.turns import Turns
from gss_keras.demo.uploads import MAX_FILE_PIXELS, read_upload, resize

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_MEBIBYTE = 2**20
_SMALLEST_SCALE = 1 / 16
# How many bytes of a refused file are read at most.
_MOST_DROPPED = 2**30
# How often a waiting request looks whether its visitor is still there.
_PATIENCE = 1.0


class Page:
    """The page of one segmenter, as an ASGI application.

    Every photo is answered from what the request holds; nothing of it is
    kept. The page's own files are read once, so that no address a visitor
    asks for ever becomes a path.

    Args:
        segmenter: A `GenerativeSegmenter`.
        title: What the page calls it, such as the preset's name.
        classes: Class names in the order of their ids; by default those that
            the segmenter knows, else "class 0" and so on.
        data_set: Name of the data set in the catalog whose usual colors the
            page offers too.
        max_pixels: Number of pixels that larger photos are reduced to before
            they are segmented.
        max_bytes: Size of the largest file that is taken.
        max_waiting: Number of photos that may wait for their turn.
        max_held: Bytes of all files that are being uploaded or wait.
        hosts: Names that the server may be called by; None for any.

    Attributes:
        app: The ASGI application.
    """

    def __init__(
        self,
        segmenter,
        title="segmenter",
        classes=None,
        data_set=None,
        max_pixels=786_432,
        max_bytes=64 * _MEBIBYTE,
        max_waiting=64,
        max_held=256 * _MEBIBYTE,
        hosts=("127.0.0.1", "localhost", "::1"),
    ):
        self._analyzer = Analyzer(segmenter)
        self._max_pixels, self._max_bytes = max_pixels, max_bytes
        self._max_waiting, self._max_held = max_waiting, max_held
        self._waiting = self._held = 0
        self._turns = Turns()
        self._files = {
            path.name: (path.read_bytes(), _TYPES[path.suffix])
            for path in Path(__file__).with_name("static").iterdir()
        }
        self._model = self._describe(segmenter, title, classes, data_set)
        self.app = Starlette(
            routes=[
                Route("/", self._index),
                Route("/{name}", self._file),
                Route("/api/model", self._describe_model),
                Route("/api/examples/{index:int}", self._example),
                Route("/api/tokens/{token:int}", self._token),
                Route("/api/segment", self._segment, methods=["POST"]),
            ],
            middleware=[Middleware(Guard, hosts=hosts)],
            exception_handlers={
                HTTPException: _refuse,
                ClientDisconnect: _gone,
                Exception: _apologize,
            },
            lifespan=self._live,
        )

    def warm_up(self):
        """Segment two sizes of a photo ahead, so that visitors need not wait.

        After two sizes, TensorFlow compiles no more.

        Returns:
            A `concurrent.futures.Future` that is done when the page is warm.
        """

        def answer(scale):
            self._answer(examples.scene(0), scale)

        self._turns.submit("", answer, 0.5)
        return self._turns.submit("", answer, 1.0)

    @contextlib.asynccontextmanager
    async def _live(self, _):
        yield
        await run_in_threadpool(self._turns.close)

    def _describe(self, segmenter, title, classes, data_set):
        posterior = segmenter.posterior
        count = posterior.num_classes
        classes = classes or getattr(segmenter, "classes", None)
        return {
            "title": title,
            "backend": keras.backend.backend(),
            "classes": list(classes or [f"class {i}" for i in range(count)]),
            "codebook_size": posterior.tokenizer.codebook_size,
            "token_stride": posterior.token_stride,
            "parameters": segmenter.count_params(),
            "palettes": shown_palettes(posterior, data_set),
            "examples": examples.titles(),
            "max_bytes": self._max_bytes,
            "max_file_pixels": MAX_FILE_PIXELS,
            "max_pixels": self._max_pixels,
        }

    async def _index(self, _):
        return self._static("index.html")

    async def _file(self, request):
        return self._static(request.path_params["name"])

    def _static(self, name):
        if name not in self._files:
            raise HTTPException(404, "There is no such page here.")
        content, media_type = self._files[name]
        return Response(content, media_type=media_type)

    async def _describe_model(self, _):
        return JSONResponse(self._model)

    async def _example(self, request):
        index = request.path_params["index"]
        if index >= len(examples.SCENES):
            raise HTTPException(404, "There is no such example.")
        picture = await run_in_threadpool(examples.scene, index)
        return Response(picture, media_type="image/png")

    async def _token(self, request):
        token = request.path_params["token"]
        if token >= self._model["codebook_size"]:
            raise HTTPException(404, "The codebook has no such token.")
        return await self._in_turn(request, self._answer_token, token)

    async def _segment(self, request):
        async with self._upload(request) as data:
            scale = _read_scale(request.query_params.get("scale", "1"))
            return await self._in_turn(request, self._answer, data, scale)

    @contextlib.asynccontextmanager
    async def _upload(self, request):
        """Read the body, and count it until the request is answered.

        What is refused is read on all the same, and dropped: a connection
        that is closed while the visitor sends would hide the answer.
        """
        refusal = None
        if self._waiting >= self._max_waiting:
            refusal = _busy()
        announced = int(request.headers.get("content-length", 0))
        self._waiting += 1
        count, chunks = 0, []
        try:
            async for chunk in request.stream():
                count += len(chunk)
                chunks.append(chunk)
                self._held += len(chunk)
                if max(announced, count) > self._max_bytes:
                    refusal = _too_large(announced or count, self._max_bytes)
                elif self._held > self._max_held:
                    refusal = _busy()
                if refusal:
                    self._held -= sum(map(len, chunks))
                    chunks.clear()
                if count > _MOST_DROPPED:
                    break
            if refusal:
                raise refusal
            yield b"".join(chunks)
        finally:
            self._waiting -= 1
            self._held -= sum(map(len, chunks))

    async def _in_turn(self, request, function, *arguments):
        """Run a function in the one thread, unless the visitor leaves."""
        visitor = request.headers.get("x-visitor", request.client.host)[:64]
        future = asyncio.wrap_future(
            self._turns.submit(visitor, function, *arguments)
        )
        while not (await asyncio.wait([future], timeout=_PATIENCE))[0]:
            if await request.is_disconnected():
                future.cancel()
                return await _gone()
        try:
            return Response(future.result(), media_type="application/json")
        # What is wrong with the file, told by whoever read it.
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    def _answer(self, data, scale):
        """Turn the bytes of a file into the bytes of the answer."""
        began = time.perf_counter()
        photo = read_upload(data, self._max_pixels)
        height, width = photo.pixels.shape[:2]
        size = [max(1, round(side * scale)) for side in (width, height)]
        pixels = photo.pixels
        if size != [width, height]:
            pixels = resize(pixels, size)
        reading = time.perf_counter() - began
        analysis = self._analyzer.analyze(pixels)
        rows, columns = analysis.tokens.shape
        return _as_json(
            photo=_as_jpeg(photo.pixels),
            file_size=photo.file_size,
            full_size=(width, height),
            size=size,
            grid=(columns, rows),
            mask=_pack(analysis.mask.astype("uint8")),
            maskige=_pack(analysis.maskige),
            tokens=_pack(analysis.tokens.astype("<u2")),
            token_probability=_pack_shares(analysis.token_probability),
            confidence=_pack_shares(analysis.confidence),
            seconds={"reading": reading, **analysis.seconds},
            has_compiled=analysis.has_compiled,
        )

    def _answer_token(self, token):
        alone, field = self._analyzer.paint_token(token)
        return _as_json(
            token=token,
            side=len(alone),
            alone=_pack(alone),
            field=_pack(field),
        )


def _read_scale(text):
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not _SMALLEST_SCALE <= scale <= 1:
        raise HTTPException(
            400,
            f"`scale` must be a number from {_SMALLEST_SCALE} to 1. "
            f"Received: scale={text[:20]!r}",
        )
    return scale


def _too_large(count, most):
    return HTTPException(
        413,
        f"A file must have at most {most / _MEBIBYTE:.3g} MB. Received: "
        f"{count / _MEBIBYTE:.3g} MB. Save the photo as JPEG or make it "
        "smaller.",
    )


def _busy():
    return HTTPException(
        503,
        "Too many photos are waiting. Try again in a moment.",
        headers={"Retry-After": "5"},
    )


def _pack(array):
    """Return an array's bytes, deflated, as text."""
    content = np.ascontiguousarray(array).tobytes()
    return base64.b64encode(zlib.compress(content, 1)).decode()


def _pack_shares(shares):
    """Pack numbers from 0 to 1 as bytes from 0 to 255."""
    return _pack(np.rint(255 * shares).astype("uint8"))


def _as_jpeg(pixels):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def _as_json(**fields):
    return json.dumps(fields).encode()


async def _refuse(_, error):
    return JSONResponse(
        {"error": error.detail}, error.status_code, headers=error.headers
    )


async def _gone(*_):
    """Answer nobody, in the way of other servers' logs."""
    return Response(status_code=499)


async def _apologize(*_):
    message = "The server failed at this. Its log says why; try another photo."
    return JSONResponse({"error": message}, 500)
