"""The ASGI application behind the page."""

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
_MIN_SCALE = 1 / 16
# Maximum number of bytes of a rejected upload that are read and discarded.
_MAX_DISCARDED = 2**30
# Seconds between checks whether the client is still connected.
_DISCONNECT_INTERVAL = 1.0


class Page:
    """ASGI application that serves the page of one segmenter.

    Requests are stateless: no photo is stored. The static files are read once
    at startup, so that no requested URL is ever used as a file path.

    Args:
        segmenter: A `GenerativeSegmenter`.
        title: Title of the model on the page, such as the preset's name.
        classes: Class names in the order of their ids; by default those of
            the segmenter, else "class 0" and so on.
        data_set: Name of a data set in the catalog whose palette the page
            offers, too.
        max_pixels: Maximum number of pixels; larger photos are downscaled
            before they are segmented.
        max_bytes: Maximum size of an uploaded file in bytes.
        max_waiting: Maximum number of concurrent uploads, from the start of
            the upload to the response.
        max_held: Maximum total size of these uploads in bytes.
        hosts: Host names that requests may use; None for any.

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
        self._num_uploads = self._upload_bytes = 0
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
                HTTPException: _report_http_error,
                ClientDisconnect: _report_disconnect,
                Exception: _report_failure,
            },
            lifespan=self._lifespan,
        )

    def warm_up(self):
        """Compile the model before the first visit, with a photo in two sizes.

        For the second size, TensorFlow traces a graph with dynamic shapes,
        which serves all other sizes.

        Returns:
            A `concurrent.futures.Future` that is done after the warm-up.
        """

        def segment(scale):
            self._segment_file(examples.scene(0), scale)

        self._turns.submit("", segment, 0.5)
        return self._turns.submit("", segment, 1.0)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _):
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
            raise HTTPException(404, "There is no such page.")
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
        return await self._run_in_turn(request, self._decode_token, token)

    async def _segment(self, request):
        async with self._upload(request) as data:
            scale = _parse_scale(request.query_params.get("scale", "1"))
            return await self._run_in_turn(
                request, self._segment_file, data, scale
            )

    @contextlib.asynccontextmanager
    async def _upload(self, request):
        """Read the request body, counted towards the limits until answered.

        The rest of a rejected upload is read and discarded: if the connection
        were closed while the client sends, it would not see the response.
        """
        rejection = None
        if self._num_uploads >= self._max_waiting:
            rejection = _busy()
        content_length = int(request.headers.get("content-length", 0))
        self._num_uploads += 1
        count, chunks = 0, []
        try:
            async for chunk in request.stream():
                count += len(chunk)
                chunks.append(chunk)
                self._upload_bytes += len(chunk)
                if max(content_length, count) > self._max_bytes:
                    rejection = _too_large(
                        content_length or count, self._max_bytes
                    )
                elif self._upload_bytes > self._max_held:
                    rejection = _busy()
                if rejection:
                    self._upload_bytes -= sum(map(len, chunks))
                    chunks.clear()
                if count > _MAX_DISCARDED:
                    break
            if rejection:
                raise rejection
            yield b"".join(chunks)
        finally:
            self._num_uploads -= 1
            self._upload_bytes -= sum(map(len, chunks))

    async def _run_in_turn(self, request, function, *arguments):
        """Run a function in the worker thread, unless the client is gone."""
        visitor = request.headers.get("x-visitor", request.client.host)[:64]
        future = asyncio.wrap_future(
            self._turns.submit(visitor, function, *arguments)
        )
        while not (await asyncio.wait([future], timeout=_DISCONNECT_INTERVAL))[
            0
        ]:
            if await request.is_disconnected():
                future.cancel()
                return await _report_disconnect()
        try:
            return Response(future.result(), media_type="application/json")
        # The message says what is wrong with the file.
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    def _segment_file(self, data, scale):
        """Decode and segment an image file; return JSON as bytes."""
        start = time.perf_counter()
        photo = read_upload(data, self._max_pixels)
        height, width = photo.pixels.shape[:2]
        size = [max(1, round(side * scale)) for side in (width, height)]
        pixels = photo.pixels
        if size != [width, height]:
            pixels = resize(pixels, size)
        reading = time.perf_counter() - start
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
            token_probability=_pack_probabilities(analysis.token_probability),
            confidence=_pack_probabilities(analysis.confidence),
            seconds={"reading": reading, **analysis.seconds},
            has_compiled=analysis.has_compiled,
        )

    def _decode_token(self, token):
        """Decode one token; return JSON as bytes."""
        alone, field = self._analyzer.paint_token(token)
        return _as_json(
            token=token,
            side=len(alone),
            alone=_pack(alone),
            field=_pack(field),
        )


def _parse_scale(text):
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not _MIN_SCALE <= scale <= 1:
        raise HTTPException(
            400,
            f"`scale` must be a number between {_MIN_SCALE} and 1. "
            f"Received: scale={text[:20]!r}",
        )
    return scale


def _too_large(count, max_bytes):
    return HTTPException(
        413,
        f"A file must have at most {max_bytes / _MEBIBYTE:.3g} MB. Received: "
        f"{count / _MEBIBYTE:.3g} MB. Save the photo as JPEG or downscale it.",
    )


def _busy():
    return HTTPException(
        503,
        "The server is busy with other photos. Try again in a moment.",
        headers={"Retry-After": "5"},
    )


def _pack(array):
    """Compress an array's bytes with zlib and encode them in base64."""
    content = np.ascontiguousarray(array).tobytes()
    return base64.b64encode(zlib.compress(content, 1)).decode()


def _pack_probabilities(probabilities):
    """Quantize probabilities to uint8, 255 for 1, and pack them."""
    return _pack(np.rint(255 * probabilities).astype("uint8"))


def _as_jpeg(pixels):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def _as_json(**fields):
    return json.dumps(fields).encode()


async def _report_http_error(_, error):
    return JSONResponse(
        {"error": error.detail}, error.status_code, headers=error.headers
    )


async def _report_disconnect(*_):
    """Return status 499, as nginx logs a request that the client closed."""
    return Response(status_code=499)


async def _report_failure(*_):
    message = "Internal server error, see the server's log. Try another photo."
    return JSONResponse({"error": message}, 500)
