"""`gss-keras demo`: serve the demo page."""

import dataclasses

from gss_keras.cli.command import OK, Command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Serve a local web page to segment photos and inspect tokens, offline."""

    preset: str = "camvid"
    """Folder or name of a generative segmenter's preset."""
    host: str = "127.0.0.1"
    """Address to listen on; by default, only this computer can connect."""
    port: int = 8000
    """Port to listen on; 0 for any free port."""
    max_pixels: int = 786_432
    """Maximum number of pixels; larger photos are downscaled."""
    open_browser: bool = False
    """Open the page in the default browser."""

    def run(self):
        """Serve the page until interrupted with Ctrl+C."""
        from gss_keras.demo import serve

        serve(
            self.preset, self.host, self.port, self.max_pixels,
            self.open_browser,
        )  # fmt: skip
        return OK, {"preset": self.preset}
